"""The one training loop and what it needs: objectives, optimizers, batches, shards of tokens, resuming.

The loop imports no dataset, no batching and no tracking: it receives a model, an objective, a function from step to
micro-batches, and a `log` callable. Batches are pure functions of the step, so that a resumed run ends in the same
bytes.
"""
