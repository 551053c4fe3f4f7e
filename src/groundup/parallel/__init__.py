"""One function applied to many parts: in threads, in processes of this machine, or on a Dask cluster.

It knows nothing of what the parts are. Results come in the order of the parts, wherever they were computed.
"""
