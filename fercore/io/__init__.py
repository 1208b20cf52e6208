"""Read and write files: atomic writes, and readers that survive damaged or hostile files.

Does not depend on datasets, runs or networks. May import only `fercore.errors`.
"""
