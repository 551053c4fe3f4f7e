"""The models: decoder, encoder, encoder-decoder and classifier share one attention, one block and one trunk.

The features by which they differ are values of `ModelConfig`. The room also has low-rank adapters (LoRA).
Shapes are in the docstrings: B sequences, T positions, C channels, H heads, D channels per head, V tokens of
the vocabulary. Losses and optimizers are in `training`.
"""
