"""Measure latency on this machine: of a network, and of the whole video pipeline.

May import `fercore.inference`, `fercore.faces` and `fercore.runs`.
"""
