"""The flows of the pipelines as objects, which the entrypoints in prefect.yaml name."""

from pipelines.flow import make_flow

main = make_flow("main")
study = make_flow("study")
transfer = make_flow("transfer")
