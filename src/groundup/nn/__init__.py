"""The transformer, module by module: attention, rotary positions, blocks, decoder, encoder, encoder-decoder, LoRA.

Models only: no data, no loss, no file.
"""
