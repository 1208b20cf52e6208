"""Decode image files, by the same rules for training and prediction.

`decoding` decodes the bytes of a file to pixels with limits on its size, `levels` scales 16-bit and
floating-point images to 8 bits. May import only `fercore.errors`.
"""
