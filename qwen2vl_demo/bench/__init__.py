"""Measurements compared with transformers, which only this package imports: `python -m qwen2vl_demo bench`."""
