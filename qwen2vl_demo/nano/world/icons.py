"""The icons that show the nouns: public sets of drawings, rasterised once, needed to train and never to run.

    python -m qwen2vl_demo.nano.world.icons runs/icons.npz        # wants npm and `pip install resvg-py`

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from qwen2vl_demo.nano.world.nouns import NOUNS

# Sets of the npm registry, each with its licence. Most come from the scope @iconify-json and share one naming scheme.
SETS = {
    "noto": "Apache-2.0",
    "noto-v1": "Apache-2.0",
    "fluent-emoji-flat": "MIT",
    "fluent-emoji": "MIT",
    "fluent-emoji-high-contrast": "MIT",
    "fluent-emoji-3d": "MIT",
    "twemoji": "CC-BY-4.0",
    "openmoji": "CC-BY-SA-4.0",
    "fxemoji": "Apache-2.0",
    "streamline-emojis": "CC-BY-4.0",
    "ph": "MIT",
    "game-icons": "CC-BY-3.0",
    "emojione": "CC-BY-4.0",
}
RENDERED = "fluent-emoji-3d"  # from the scope @lobehub: pixels, named by code points
OWN_NAMES = {"ph": "{}-duotone", "game-icons": "{}"}  # how these call the drawing of a noun
FALSE_FRIENDS = {"ph": ("mouse", "football", "lamp"), "game-icons": ("butterfly", "castle", "crab", "moon")}
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
    """An SVG document as (SIDE, SIDE, 4) uint8, cropped to its ink."""
    import resvg_py  # only this step needs it

    return cropped(PIL.Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg, width=2 * SIDE, height=2 * SIDE)))))


def cropped(drawn: PIL.Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 4) uint8: the ink of a drawing, centred, the longer side filled."""
    drawn = drawn.convert("RGBA")
    ink = drawn.crop(drawn.getchannel("A").point(lambda v: 255 * (v > 24)).getbbox())
    scale = SIDE / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), PIL.Image.Resampling.BOX)
    square = PIL.Image.new("RGBA", (SIDE, SIDE))
    square.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return np.asarray(square)


def fetch(package: str, folder: Path) -> tarfile.TarFile:
    """A package of the npm registry, open."""
    command = ["npm", "pack", "--silent", package, "--pack-destination", str(folder)]
    return tarfile.open(folder / subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def read(packed: tarfile.TarFile, name: str) -> bytes:
    member = packed.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


def draw_set(name: str, folder: Path) -> dict[str, np.ndarray]:
    """ "set/noun" to the set's drawings of it, (drawings, SIDE, SIDE, 4) uint8, for the nouns that it has."""
    if name == RENDERED:
        with fetch("@iconify-json/noto", folder) as packed:
            points = {icon: code for code, icon in json.loads(read(packed, "chars.json")).items()}
        with fetch(f"@lobehub/{name}", folder) as packed:
            there = set(packed.getnames())

            def file_of(icon: str) -> str | None:
                files = (f"assets/{points.get(icon)}{more}.webp" for more in ("", "-fe0f"))
                return next((file for file in files if f"package/{file}" in there), None)

            def draw(file: str) -> np.ndarray:
                return cropped(PIL.Image.open(io.BytesIO(read(packed, file))))

            return _drawn(name, file_of, draw)
    with fetch(f"@iconify-json/{name}", folder) as packed:
        known = json.loads(read(packed, "icons.json"))
    have = {*known["icons"], *known.get("aliases", {})}
    return _drawn(name, lambda icon: icon if icon in have else None, lambda icon: rasterise(svg_of(known, icon)))


def _drawn(name: str, find: Callable[[str], str | None], draw: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    made = {}
    for noun, icons in NOUNS.items():
        if name in OWN_NAMES:
            icons = () if noun in FALSE_FRIENDS[name] else (OWN_NAMES[name].format(noun),)
        found = [file for icon in icons if (file := find(icon))]
        if found:
            made[f"{name}/{noun}"] = np.stack([draw(file) for file in found])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=DEFAULT_FILE)
    out = parser.parse_args().out
    rasters: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            drawn = draw_set(name, Path(folder))
            print(f"{name}: {sum(map(len, drawn.values()))} drawings of {len(drawn)} nouns", flush=True)
            rasters |= drawn
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **rasters)
    print(f"{len(NOUNS)} nouns in {len(SETS)} sets: {out}")


if __name__ == "__main__":
    main()
