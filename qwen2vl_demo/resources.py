"""Where the files are that ship beside the code: nano's checkpoint and the example files of the page.

A wheel carries the checkout's folder `assets` as `qwen2vl_demo/assets` (see pyproject.toml), so that an installed
package finds it as package data; a checkout, editable installs included, has it beside the package.
"""

from importlib.resources import files
from pathlib import Path

_PACKAGE = Path(str(files("qwen2vl_demo")))

ASSETS = _PACKAGE / "assets" if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent / "assets"
NANO = ASSETS / "nano"  # a checkpoint directory, in the layout of the released ones
EXAMPLES = ASSETS / "examples"  # examples.json, chats.json and the files that they name
TEACHING = (ASSETS if (ASSETS / "docs").is_dir() else ASSETS.parent) / "docs" / "teaching.md"  # the teacher's page
