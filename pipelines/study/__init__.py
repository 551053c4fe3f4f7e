"""The study: further stages after the main pipeline's, in a dvc.yaml of their own (`make study`)."""
