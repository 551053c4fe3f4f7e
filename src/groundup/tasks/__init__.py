"""Training tasks: pretraining, and finetuning for spam, instructions, preferences (DPO) and translation.

Each module trains a model through the loop of `training` and runs the trained model. `verifiable` decides whether an
answer is right; `evaluation` measures how good a model is.
"""
