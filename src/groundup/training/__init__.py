"""One training loop for every model, with objectives, optimizers, batches, devices and resumable state.

The loop receives a model, batches and a log; the package tasks decides what is trained on which data.
"""
