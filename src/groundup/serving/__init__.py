"""The finetuned models behind MLflow's predict interface."""
