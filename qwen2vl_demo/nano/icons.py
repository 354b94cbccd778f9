"""The icons that show the nouns: public sets of drawings, rasterised once, needed to train and never to run.

    python -m qwen2vl_demo.nano.icons runs/icons.npz        # wants npm and `pip install resvg-py`

Contract: `pictures(noun)` gives (drawings, SIDE, SIDE, 4) uint8 with alpha from the sets in use, or () where the
machine has no file of icons (`QWEN2VL_NANO_ICONS`, else runs/icons.npz); the drawn world then holds shapes alone.
Training uses all sets but the held-out one; `only` switches sets for an evaluation.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from qwen2vl_demo.nano.nouns import NOUNS

# Sets of the npm scope @iconify-json that share one naming scheme, each with its licence. Those of `PARTIAL` lack some
# nouns.
SETS = {
    "noto": "Apache-2.0",
    "noto-v1": "Apache-2.0",
    "fluent-emoji-flat": "MIT",
    "fluent-emoji": "MIT",
    "fluent-emoji-high-contrast": "MIT",
    "twemoji": "CC-BY-4.0",
    "openmoji": "CC-BY-SA-4.0",
    "fxemoji": "Apache-2.0",
    "streamline-emojis": "CC-BY-4.0",
    "emojione": "CC-BY-4.0",
}
PARTIAL = ("fluent-emoji-high-contrast", "fxemoji", "streamline-emojis")
INK = "#2563a8"  # of drawings that have one colour and leave it open: seen on light and on dark
HELD_OUT = "emojione"  # measures that a noun was learnt, and not its drawings
TRAINED = tuple(name for name in SETS if name != HELD_OUT)
SIDE = 144
DEFAULT_FILE = Path("runs/icons.npz")

_in_use: tuple[str, ...] = TRAINED


@lru_cache(maxsize=1)
def _rasters() -> dict[str, np.ndarray]:
    """ "set/noun" to its drawings; empty where the file is missing."""
    path = Path(os.environ.get("QWEN2VL_NANO_ICONS", DEFAULT_FILE))
    if not path.is_file():
        return {}
    with np.load(path) as known:
        return {name: known[name] for name in known.files}


def nouns() -> tuple[str, ...]:
    """The nouns that can be drawn here; () without icons."""
    return tuple(NOUNS) if _rasters() else ()


@lru_cache(maxsize=1024)
def _of(noun: str, sets: tuple[str, ...]) -> np.ndarray:
    known = [_rasters().get(f"{name}/{noun}") for name in sets]
    return np.concatenate([drawings for drawings in known if drawings is not None])


def pictures(noun: str) -> np.ndarray:
    """All drawings of a noun in the sets in use, (drawings, SIDE, SIDE, 4) uint8."""
    return _of(noun, _in_use)


@contextmanager
def only(*sets: str) -> Iterator[None]:
    """Draw from these sets for a while."""
    global _in_use
    before, _in_use = _in_use, sets
    try:
        yield
    finally:
        _in_use = before


def svg_of(icons: dict, name: str) -> str:
    """An icon of an Iconify file as an SVG document; aliases are followed to the icon that they stand for."""
    entry = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width, height = (entry.get(k, icons.get(k, 16)) for k in ("width", "height"))
    box = f"{entry.get('left', 0)} {entry.get('top', 0)} {width} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" viewBox="{box}">'
        f"{entry['body'].replace('currentColor', INK)}</svg>"
    )


def rasterise(svg: str) -> np.ndarray:
    """(SIDE, SIDE, 4) uint8, cropped to its ink and centred, the longer side filled."""
    import resvg_py  # only this step needs it

    drawn = PIL.Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg, width=2 * SIDE, height=2 * SIDE)))).convert(
        "RGBA"
    )
    ink = drawn.crop(drawn.getchannel("A").point(lambda v: 255 * (v > 24)).getbbox())
    scale = SIDE / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), PIL.Image.Resampling.BOX)
    square = PIL.Image.new("RGBA", (SIDE, SIDE))
    square.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return np.asarray(square)


def fetch(name: str, folder: Path) -> dict:
    """The icons.json of one set, from the npm registry."""
    command = ["npm", "pack", "--silent", f"@iconify-json/{name}", "--pack-destination", str(folder)]
    archive = folder / subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/icons.json")
        assert member is not None
        return json.load(member)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=DEFAULT_FILE)
    out = parser.parse_args().out
    rasters: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            known = fetch(name, Path(folder))
            there = {**known["icons"], **known.get("aliases", {})}
            for noun, drawings in NOUNS.items():
                drawings = tuple(icon for icon in drawings if icon in there) if name in PARTIAL else drawings
                if drawings:
                    rasters[f"{name}/{noun}"] = np.stack([rasterise(svg_of(known, icon)) for icon in drawings])
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **rasters)
    print(f"{len(NOUNS)} nouns in {len(SETS)} sets: {out}")


if __name__ == "__main__":
    main()
