"""Checkpoints: finding or downloading them, reading their tensors, and where and in which dtypes they are loaded."""
