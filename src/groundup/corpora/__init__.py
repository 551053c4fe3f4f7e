"""Preparation of a pretraining corpus of any size: functions applied to its parts, and small reductions.

Memory holds one part per process, some 170 bytes per document, and what `cluster.memory_megabytes` allows for sorting.
The parts may be computed in one process, in several or on a cluster; the files that are written are the same.
"""
