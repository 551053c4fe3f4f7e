"""What published weights bring to the same tasks: stages in a dvc.yaml of their own (`make transfer`)."""
