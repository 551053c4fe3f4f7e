"""The project on a Prefect server: deployments, notifications, missed and dead runs, and the page of a flow run.

`python -m pipelines.operate setup --webhook URL` can be repeated; it updates what is there. It needs a running server
(`prefect server start`) and makes:

- a work pool with the concurrency limit 1, since all flows work in this folder;
- the deployments of prefect.yaml;
- an automation that marks a run as crashed if it shows no sign of life, because its worker or machine was killed;
- with `--webhook`, a webhook block, and automations that call it for failed and crashed runs, promoted models and
  drift.
"""
