"""Run directories: the schema of their files, the writer, the reader, locks and annotations.

`writer` writes a run while it trains; `reader` reads any folder and never fails on what it holds.
May import `fercore.config`, `fercore.data`, `fercore.metrics` and `fercore.io`. To add a record,
add its model to `schema` and its file to `schema.RUN_FILES`.
"""
