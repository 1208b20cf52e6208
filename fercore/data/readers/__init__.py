"""Read users' folders, ZIP and TAR archives, images and tables without extracting anything.

The limits on uploaded archives are in `archives`. May import `fercore.images`, `fercore.io` and
`fercore.data.labels`. To add a format, add a module that yields `archives.Member` objects.
"""
