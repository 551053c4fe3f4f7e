"""Lineage: where a model comes from, and whether it can be made again, from dvc.lock, git and MLflow together.

This room reads the lock files as YAML and calls git and DVC as commands; it imports neither DVC nor MLflow. It does not
decide which stages run, and draws no page (`reports.lineage` does).
"""
