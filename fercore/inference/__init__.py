"""Predict with finished runs: from pixels to probabilities, without Keras.

`predictor.Predictor` is the one way for pages, the command line and scripts. May import
`fercore.faces`, `fercore.evaluation`, `fercore.runs` and what is below them.
"""
