"""The typefaces that text is printed in: Debian's, cut down to printable ASCII. Needed for training, not for running.

    python -m qwen2vl_demo.nano.world.fonts runs/fonts        # needs apt-get, dpkg and `pip install fonttools`

They are read from the folder named by `QWEN2VL_NANO_FONTS`, by default runs/fonts, with a subfolder for those trained
on and one for those held out, which are whole families. If it does not exist, a few that most machines have are used,
and Pillow's own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from PIL import ImageFont

from qwen2vl_demo.nano.world.drawing import font_paths

DEFAULT_FOLDER = Path("runs/fonts")
TRAIN, HELD_OUT = "train", "held_out"
ASCII = range(0x20, 0x7F)
# Debian packages (without "fonts-"), all of free licences.
TRAINED = [
    "roboto-unhinted",
    "open-sans",
    "lato",
    "inconsolata",
    "hack",
    "crosextra-carlito",
    "ebgaramond",
    "linuxlibertine",
    "comfortaa",
    "comic-neue",
    "texgyre",
    "jetbrains-mono",
    "quicksand",
    "urw-base35",
    "dejavu-core",
    "dejavu-extra",
    "liberation",
    "freefont-ttf",
    "croscore",
    "go",
    "vollkorn",
    "dosis",
    "cabin",
    "karla",
    "manrope",
    "oldstandard",
    "quattrocento",
    "roboto-slab",
    "anonymous-pro",
    "ocr-b",
    "dkg-handwriting",
    "breip",
    "sora",
    "b612",
    "paratype",
    "play",
    "prociono",
    "arapey",
    "cmu",
    "fantasque-sans",
    "mononoki",
    "averia-sans-gwf",
    "averia-serif-gwf",
    "oxygen",
    "noto-core",
    "noto-mono",
    "tuffy",
    "adf-gillius",
    "adf-accanthis",
    "junction",
    "jura",
    "eurofurence",
]
KEPT_BACK = [
    "crosextra-caladea",
    "firacode",
    "cantarell",
    "inter",
    "courier-prime",
    "yanone-kaffeesatz",
    "humor-sans",
    "lmodern",
    "cardo",
]
# Files of a package: upright and italic, of ordinary weights; no capitals-only, mathematics or other scripts.
_KEPT = re.compile(r"(?i)(regular|roman|book|medium|bold|italic|oblique|cond|^[a-z]+$)")
_LEFT_OUT = re.compile(
    r"(?i)thin|hair|light|extra|black|heavy|math|caps|inclined|unsl|dunh|symbol|dingbat|swash|initial|display|lgc"
    r"|OCRB[BEFLSX]|noto(?!sans-|serif-|sansmono-|mono-)|(?:[5-9]|1[27])-|demi|expert|ornament|zapf|dings|minus|alt|sfnt|out|tlwg"
)
FACES_A_PACKAGE = 6


@cache
def _faces(folder: str, split: str) -> tuple[str | None, ...]:
    return tuple(sorted(str(path) for path in Path(folder, split).glob("*.?tf"))) or font_paths()


def faces(split: str = TRAIN) -> tuple[str | None, ...]:
    """The files of the typefaces trained on, or "held_out"; None stands for Pillow's own."""
    return _faces(os.environ.get("QWEN2VL_NANO_FONTS", str(DEFAULT_FOLDER)), split)


@cache
def load_face(path: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if path is None:
        return ImageFont.load_default(size=size)
    # The basic layout is several times as fast, and ASCII needs no other.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def fetch(package: str, out: Path) -> int:
    """Downloads a package and writes its faces, cut down to ASCII, into a folder; the number of faces."""
    from fontTools import subset, ttLib  # needed here only

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", f"fonts-{package}"], cwd=folder, check=True, capture_output=True)
        (deb,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg", "-x", str(deb), folder], check=True)
        files = sorted({path.name: path for path in Path(folder).rglob("*.?tf") if path.is_file()}.values())
        files = [path for path in files if _KEPT.search(path.stem) and not _LEFT_OUT.search(path.stem)]
        written = 0
        for path in files[:: max(1, len(files) // FACES_A_PACKAGE)]:
            font = ttLib.TTFont(path, fontNumber=0)
            if not set(ASCII) <= set(font.getBestCmap() or ()):
                continue
            options = subset.Options(layout_features=["kern"], hinting=False, notdef_outline=True, name_IDs=[1, 2])
            cutter = subset.Subsetter(options)
            cutter.populate(unicodes=ASCII)
            cutter.subset(font)
            font.save(out / f"{package}-{path.stem.replace(' ', '')}{path.suffix}")
            written += 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=DEFAULT_FOLDER)
    out = parser.parse_args().out
    for split, packages in ((TRAIN, TRAINED), (HELD_OUT, KEPT_BACK)):
        (out / split).mkdir(parents=True, exist_ok=True)
        for package in packages:
            print(f"{split}: {fetch(package, out / split)} faces of {package}", flush=True)


if __name__ == "__main__":
    main()
