"""Explain predictions: occlusion, Grad-CAM, and embeddings of many faces.

Works on ONNX networks, and so on imported ones. May import `fercore.inference`.
"""
