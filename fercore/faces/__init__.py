"""Detect, crop, align, track and draw faces.

May import `fercore.data`; no deep-learning framework, except the optional MTCNN. To add a detector,
add a class with the method `detect` to `detection` and its name to `DetectorKind`.
"""
