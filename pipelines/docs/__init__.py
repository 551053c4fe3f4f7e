"""`make docs`: writes the pages and blocks of pages that follow from facts elsewhere in the repository.

docs/results.md, modules.md, data.md, parameters.md and overview.svg are written whole, each from a template of the
same name. In the other pages a generated block is between `<!-- NAME: begin -->` and `<!-- NAME: end -->`. The code
dependencies of the stages in every dvc.yaml (pipelines.rooms) and the JSON Schemas of the files of values
(pipelines.schemas) are written by the same command.
`python -m pipelines.docs --check`, a part of `make lint`, writes nothing and fails when a page is not current or a
link leads nowhere.
"""
