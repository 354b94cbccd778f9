"""An interactive demo of Qwen2-VL: chat with pictures and videos, and see what the model sees."""

__version__ = "0.1.0"
