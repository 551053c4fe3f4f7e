"""Training: one loop for all models, with its settings, objectives, optimizers, batches, shards and resuming.

`config` has the settings of every training, which are sections of params.yaml. The loop imports no dataset,
no batching and no tracking: it receives a model, an objective, a function from step to micro-batches, and a
`log` callable. Batches are pure functions of the step, so that a resumed run ends with the same bytes as an
uninterrupted one.
"""
