"""Read and write files: atomic writes, and readers that survive damaged or hostile files.

Knows nothing of datasets, runs or networks. May import `fercore.errors` alone.
"""
