"""The Hugging Face Hub and the catalogue of published models: find one by name, fetch it once, send one.

Reading and writing the formats of other programs is the work of interop.
"""
