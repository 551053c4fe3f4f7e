"""Registered models behind MLflow's predict interface, for `mlflow models serve`."""
