"""Environment of the test run, set before gradio, torch or huggingface_hub are imported for the first time."""

import atexit
import os
import shutil
import signal
import tempfile

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # no telemetry and no version check
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may use the network
# torch reads its number of threads from it. Workers of pytest share the cores, and inherit this from their controller.
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Uploads of this process alone: pages of other processes would delete theirs of the same content.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="qwen2vl-uploads-")
atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

for _name in [name for name in os.environ if name.startswith("QWEN2VL_")]:
    del os.environ[_name]  # a developer's own settings must not change the results

# Processes started in the background by a shell ignore Ctrl+C, and so do their children; some tests need it.
signal.signal(signal.SIGINT, signal.default_int_handler)
