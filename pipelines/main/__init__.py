"""The main pipeline: dvc.yaml and params.yaml of the project's folder; one file per stage."""
