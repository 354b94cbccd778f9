"""Side-by-side measurements: `python -m qwen2vl_demo bench`. The only room of the package that knows transformers."""
