"""`make docs`: writes the pages and blocks of pages that follow from facts elsewhere in the repository.

docs/results.md, modules.md, data.md, parameters.md and overview.svg are written whole, each from a template of the
same name. In the other pages a generated block lies between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
`python -m pipelines.docs --check`, a part of `make lint`, writes nothing and fails when a page is not current or a
link leads nowhere.
"""
