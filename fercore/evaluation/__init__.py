"""Evaluate predictions: protocols, results, paired comparison, leakage, doubtful labels.

`protocol` decides which samples an experiment trains and is tested on, `results` turns
probabilities into what a run stores. May import `fercore.runs`, `fercore.metrics`, `fercore.data`
and `fercore.config`; no deep-learning framework.
"""
