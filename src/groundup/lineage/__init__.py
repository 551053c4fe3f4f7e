"""Where a model comes from, and whether it can be made again: dvc.lock, git and MLflow read together.

It reads the lock files as YAML and calls git and DVC as commands; it imports neither DVC nor MLflow. It does not decide
what has to run, and draws no page; see `reports.lineage`.
"""
