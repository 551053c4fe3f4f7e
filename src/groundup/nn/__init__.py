"""The transformer, module by module: attention, rotary positions, blocks, decoder, encoder, encoder-decoder, LoRA.

This room holds models only: no data, no losses, no files.
"""
