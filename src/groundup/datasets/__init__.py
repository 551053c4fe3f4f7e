"""From a catalogue entry to clean splits: locations, readers, and the preparation of each kind of data.

The only room that fetches (datasets.locations). Batches and tokens are the business of training.
"""
