"""Checkpoints that are quantised already: their formats, each as a function from stored tensors to weights."""
