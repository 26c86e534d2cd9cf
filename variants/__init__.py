"""Variants of model.onnx with fewer bits: made, held against eager, raced, and kept if faster."""
