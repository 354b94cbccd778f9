"""The examples of the first page: questions with their files, read from assets/examples/examples.json.

The file is a list of {"label", "text", "files": [names beside it]}. An example whose files are not there is left out,
so that no card leads nowhere.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from qwen2vl_demo.resources import EXAMPLES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One card."""

    label: str  # what it shows: "Two pictures"
    text: str  # what is asked
    files: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """What it is called in an address: "A chart" is `?example=chart`."""
        words = re.findall(r"[a-z0-9]+", self.label.lower())
        return "-".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def load_examples(folder: Path = EXAMPLES) -> tuple[Example, ...]:
    """All usable examples, in the order of the file; none if there is no file."""
    try:
        records = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        examples = [
            Example(str(r["label"]), str(r["text"]), tuple((folder / name).resolve() for name in r.get("files", [])))
            for r in records
        ]
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        log.warning("%s cannot be read (%s), so there are no examples", folder / "examples.json", type(broken).__name__)
        return ()
    return tuple(e for e in examples if all(file.is_file() for file in e.files))
