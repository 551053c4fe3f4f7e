"""The models: one attention, one block and one trunk for decoder, encoder, encoder-decoder and classifier; LoRA.

What distinguishes the members of the family is a value of `ModelConfig`. Shapes are in the docstrings: B batch,
T positions, C channels, H heads, D channels per head, V vocabulary. Losses and optimizers are in `training`.
"""
