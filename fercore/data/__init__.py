"""Datasets: the registry, the stored form, labels, splits and quality checks.

`registry` is what other packages call; `datasets/` has one module for each dataset, `readers/`
reads users' files. May import `fercore.config`, `fercore.images` and `fercore.io`. To add a
dataset, add a module to `datasets/`.
"""
