"""The study: one module per stage of pipelines/study/dvc.yaml. `make study` runs it after the main pipeline."""
