"""One module for each dataset; a module with `CLASS_NAMES` is registered by being here.

It also defines `load(root) -> Splits` and `status(root) -> DatasetStatus`; one that is installed
from files also defines `add(paths, root, on_progress, skip_bad) -> AddReport`, and one with
dependent images `groups(ids)`. `_image_folder` reads what users add under names of their own,
`_unsplit` serves datasets that come as one set of images. May import the rest of `fercore.data`,
except `registry`.
"""
