"""Computes the cores of networks: torch, onnxruntime or OpenVINO, in a precision."""
