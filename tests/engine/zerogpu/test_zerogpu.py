"""The tests of ZeroGPU, in a process of their own.

They fork, as ZeroGPU does. In a process in which pytest-playwright has a browser open, a forked child shares its pipes,
and the browser of all later tests is gone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_an_engine_on_borrowed_gpus() -> None:
    tests = Path(__file__).with_name("forking_tests.py")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^\d+ passed(?!.*skipped)", done.stdout, re.MULTILINE), done.stdout[-400:]
