"""Predict with finished runs: from pixels to probabilities, without Keras.

The pages, the command line and scripts all use `predictor.Predictor`. May import
`fercore.faces`, `fercore.evaluation`, `fercore.runs` and what is below them.
"""
