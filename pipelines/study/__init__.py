"""The study: one module per stage of pipelines/study/dvc.yaml, whose stages follow the main pipeline (`make study`)."""
