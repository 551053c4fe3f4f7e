"""The Prefect flow of each pipeline as a variable, so that an entrypoint in prefect.yaml can name it."""

from pipelines.flow import make_flow

main = make_flow("main")
study = make_flow("study")
transfer = make_flow("transfer")
