"""`make docs`: write the pages, and blocks of pages, that are derived from other files of the repository.

docs/results.md, benchmarks.md, modules.md, data.md, parameters.md and overview.svg are completely generated, each from
a template of the same name. In other pages a generated block is between `<!-- NAME: begin -->` and
`<!-- NAME: end -->`. The same command writes the code dependencies of the stages in every dvc.yaml (pipelines.rooms),
the JSON Schemas of the params.yaml files (pipelines.schemas) and the schedules in prefect.yaml
(pipelines.operate.deployments). `python -m pipelines.docs --check`, a part of `make lint`, writes nothing and fails if
a page is not current or a link is broken.
"""
