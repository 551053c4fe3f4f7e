"""One training loop for every model, with its objectives, optimizers, batches, devices and resumable state.

The loop receives model, data and log; what is trained on what is decided in tasks.
"""
