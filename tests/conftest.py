"""Settings of the whole test run. They must stand before the first import of gradio, torch or huggingface_hub."""

import os
import signal

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # no telemetry and no version check
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that wants the network is a bug
os.environ.setdefault("OMP_NUM_THREADS", "2")  # torch takes its number of threads from here
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

for _name in [name for name in os.environ if name.startswith("QWEN2VL_")]:
    del os.environ[_name]  # the developer's own settings must not change what the tests see

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl+C, which is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
