"""Reading what users have: folders, ZIP and TAR archives, images, tables. Nothing is extracted."""
