"""Tasks: pretraining, and finetuning for spam, instructions and preferences (DPO), and translation.

The modules train a model with the loop of `training` and run the trained model. `verifiable` decides whether
an answer is right; `evaluation` measures how good a model is.
"""
