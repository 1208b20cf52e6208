"""Decode image files, by one set of rules for training and prediction.

`decoding` turns the bytes of a file into pixels within limits of size, `levels` scales 16-bit and
floating-point images to 8 bits. May import `fercore.errors` alone.
"""
