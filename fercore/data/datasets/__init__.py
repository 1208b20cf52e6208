"""The built-in datasets, one module each; a module here with `CLASS_NAMES` is registered.

A dataset module defines `load(root) -> Splits` and `status(root) -> DatasetStatus`. A dataset that
is installed from files also defines `add(paths, root, on_progress, skip_bad) -> AddReport`, and one
with dependent images `groups(ids)`. `_image_folder` adds custom datasets, `_unsplit` serves
datasets that come as one set of images. May import the rest of `fercore.data`, except `registry`.
"""
