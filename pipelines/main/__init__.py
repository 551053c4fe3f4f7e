"""The main pipeline: one module per stage of dvc.yaml in the project's folder."""
