"""What pretrained models are finetuned for: spam, instructions, preferences (DPO) and translation.

Each module trains through the loop of `training` and answers with the trained model. What counts as a right answer,
and how good a model is, is decided in `verifiable` and `evaluation`.
"""
