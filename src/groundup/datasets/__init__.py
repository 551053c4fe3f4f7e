"""From a catalogue entry to clean splits: locations, readers, and the preparation of each kind of data.

Only this room downloads (datasets.locations). Training turns the splits into tokens and batches.
"""
