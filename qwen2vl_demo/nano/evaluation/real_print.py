"""How well a nano checkpoint reads print that nobody drew for it: a photographed page, PDFs, screenshots and figures.

    pip install matplotlib scikit-image playwright      # and Chromium, apt-get and dpkg
    python -m qwen2vl_demo.nano.evaluation.real_print [--model assets/nano] [--folder runs/print] [--json OUT]

Builds the pictures once, as PNG files beside `print.json`, which holds what is printed on each, and asks about all.
Each shows a few lines at its own size, in print of 13 px or more, on the colour of their ground:

- scikit-image's photograph of a page, of which the text was typed off (its other one, `text`, is handwritten Greek);
- paragraphs of PDFs that Debian packages ship, rendered by PDFium, with the text that the PDF itself holds;
- headings, paragraphs and buttons of this project's page in Chromium at three zooms, with the page's own text;
- titles and axis labels of Matplotlib's figures.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.nano.evaluation.reading import ReadingScore, ask, format_scores, score

FOLDER, RECORD = Path("runs/print"), "print.json"
QUESTION = "What does it say?"
MARGIN, LEAST_SIDE = 8, 56  # px around a text, and of a picture
_HEADING = "Region-based segmentation"
_BODY = """Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:"""
PHOTOGRAPH = {(0, 140): f"{_HEADING}\n{_BODY}", (42, 140): _BODY}  # rows of skimage.data.page(): what they show
PDFS = {  # packages of Debian and a file of each
    "debian-faq": "usr/share/doc/debian/FAQ/debian-faq.en.pdf.gz",
    "bzip2-doc": "usr/share/doc/bzip2/manual.pdf.gz",
    "python3-pyx-doc": "usr/share/doc/python3-pyx/pyxfaq.pdf",
}
PDF_SCALES = (1.5, 2.0)  # px a point: print of 10 points becomes 15 and 20 px
PARAGRAPHS = 6  # of each PDF, at each scale
MOST_LINES = 4  # of a paragraph
CHROMIUM = os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium")
PORT = 8931
TABS = ("Picture", "Rotation", "Experiments")
ZOOMS = (1.0, 1.5, 2.0)
# The texts that can be seen in a window, each with the box of its ink in CSS pixels.
VISIBLE_TEXTS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect(), whole = node.parentElement;
    const seen = box.width && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (seen !== whole || whole.innerText.trim() !== node.textContent.trim().replace(/\\s+/g, " ")) continue;
    if (box.right <= innerWidth && box.bottom <= innerHeight) found.push([whole.innerText, box.toJSON()]);
  }
  return found;
}"""
FIGURES = (  # title, label of the x axis
    ("Monthly rainfall in Bergen", "Month"),
    ("Unemployment rate, 1990-2020", "Percent of labour force"),
    ("f(x) = sin(x) / x", "x in radians"),
    ("Response time vs. load", "Requests per second"),
)
Picture = PIL.Image.Image
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class PrintedFile:
    """A picture, a question, and the right answer, or all of the print that it must hold."""

    source: str  # the row of the table
    file: str
    question: str
    printed: str


def photograph() -> Iterator[tuple[str, Picture, str, str]]:
    """(source, picture, question, what is printed); likewise the next three. They import what only they need."""
    import skimage.data

    page = skimage.data.page()
    for (top, bottom), printed in PHOTOGRAPH.items():
        part = PIL.Image.fromarray(page[top:bottom]).convert("RGB")
        yield "photographed page", part, QUESTION, printed
        twice = part.resize((2 * part.width, 2 * part.height), PIL.Image.Resampling.BICUBIC)
        yield "photographed page, enlarged twice", twice, QUESTION, printed


def pdf_paragraphs() -> Iterator[tuple[str, Picture, str, str]]:
    import pypdfium2

    for package, name in PDFS.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
            (deb,) = Path(folder).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(deb), folder], check=True)
            content = Path(folder, name).read_bytes()
        document = pypdfium2.PdfDocument(gzip.decompress(content) if name.endswith(".gz") else content)
        found = [(page, *one) for page in document for one in paragraphs(page.get_textpage())]
        for page, (left, bottom, right, top), printed in found[:: max(1, len(found) // PARAGRAPHS)][:PARAGRAPHS]:
            for scale in PDF_SCALES:
                whole = page.render(scale=scale).to_pil().convert("RGB")
                box = (left * scale, whole.height - top * scale, right * scale, whole.height - bottom * scale)
                yield f"PDF at {72 * scale:.0f} dpi", on_ground(whole, box), QUESTION, printed


def paragraphs(page: Any) -> Iterator[tuple[Box, str]]:
    """The box (left, bottom, right, top), in points, and the text of up to `MOST_LINES` consecutive lines.

    `page` is a pypdfium2.PdfTextPage. Short lines are left out, as are those that are not printable ASCII on one line,
    those with leaders, and large print.
    """
    group: list[tuple[Box, str]] = []
    start = 0
    for line in [*page.get_text_range().split("\r\n"), ""]:
        boxes = [page.get_charbox(start + index) for index, character in enumerate(line) if character.strip()]
        start += len(line) + 2
        text = line.replace("\xa0", " ").strip()
        box = _around(boxes) if boxes else (0.0, 0.0, 0.0, 0.0)
        usable = len(text) > 25 and text.isascii() and text.isprintable() and ". ." not in text
        usable = usable and box[3] - box[1] < 13
        follows = group and abs(group[-1][0][0] - box[0]) < 2 and 9 < group[-1][0][1] - box[1] < 16
        if group and (not usable or not follows or len(group) == MOST_LINES):
            yield _around([one for one, _ in group]), "\n".join(one for _, one in group)
            group = []
        if usable:
            group.append((box, text))


def _around(boxes: list[Box]) -> Box:
    left, bottom, right, top = (
        pick(sides) for pick, sides in zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
    )
    return left, bottom, right, top


def on_ground(picture: Picture, box: Box) -> Picture:
    """The part of a picture in a box (left, top, right, bottom) on a ground of the colour of its corner.

    The ground is at least `MARGIN` wide all around, and at least a third as high as it is wide.
    """
    left, top, right, bottom = (round(side) for side in box)
    part = picture.crop((left - 1, top - 1, right + 1, bottom + 1))
    width = max(part.width + 2 * MARGIN, LEAST_SIDE)
    height = max(part.height + 2 * MARGIN, width // 3, LEAST_SIDE)
    ground = PIL.Image.new("RGB", (width, height), tuple(np.asarray(part)[0, 0].tolist()))
    ground.paste(part, ((width - part.width) // 2, (height - part.height) // 2))
    return ground


def screenshots() -> Iterator[tuple[str, Picture, str, str]]:
    from playwright.sync_api import sync_playwright

    served = [sys.executable, "-m", "qwen2vl_demo", "serve", "--port", str(PORT)]
    app = subprocess.Popen(served, stdout=subprocess.PIPE, text=True)
    try:
        assert app.stdout is not None
        next(line for line in app.stdout if "Open http" in line)
        with sync_playwright() as browsers:
            chromium = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for zoom in ZOOMS:
                page = chromium.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=zoom)
                page.goto(f"http://127.0.0.1:{PORT}")
                seen = {""}
                for tab in TABS:
                    page.get_by_role("tab", name=tab).click()
                    time.sleep(2)
                    shot = PIL.Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                    for text, box in page.evaluate(VISIBLE_TEXTS):
                        if 2 < len(text) <= 200 and text.isascii() and text not in seen:
                            seen.add(text)
                            sides = tuple(box[side] * zoom for side in ("left", "top", "right", "bottom"))
                            yield f"screenshot at {zoom:.0%}", on_ground(shot, sides), QUESTION, text
    finally:
        app.terminate()
        app.wait()


def figures() -> Iterator[tuple[str, Picture, str, str]]:
    from matplotlib.figure import Figure

    values = np.random.default_rng(0)
    for index, (title, label) in enumerate(FIGURES):
        figure = Figure(figsize=(6, 4.5), dpi=112)  # 672 x 504 px; a title of 12 points has 19 px, a label of 10 has 16
        axes = figure.subplots()
        (axes.plot, axes.bar, axes.scatter)[index % 3](range(8), values.uniform(1, 10, 8))
        axes.set(title=title, xlabel=label)
        content = io.BytesIO()
        figure.savefig(content, format="png")
        picture = PIL.Image.open(content).convert("RGB")
        yield "figure: title", picture, "What is the title?", title
        yield "figure: axis label", picture, "What does it say at the bottom?", label


def build(folder: Path) -> list[PrintedFile]:
    """Writes all pictures and `print.json` into a folder, unless they are there; what they are."""
    record = folder / RECORD
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files: list[PrintedFile] = []
        for source in (photograph, pdf_paragraphs, screenshots, figures):
            for name, picture, question, printed in source():
                files.append(PrintedFile(name, f"{len(files):03}.png", question, printed))
                picture.save(folder / files[-1].file)
        record.write_text(json.dumps([asdict(file) for file in files], indent=2) + "\n", "utf-8")
    return [PrintedFile(**file) for file in json.loads(record.read_text("utf-8"))]


def measure(engine: Engine, folder: Path) -> list[ReadingScore]:
    """The score of each source."""
    answers: dict[str, list[tuple[str, str]]] = {}
    for file in build(folder):
        with PIL.Image.open(folder / file.file) as picture:
            given = ask(engine, np.asarray(picture), file.question, file.printed)
        answers.setdefault(file.source, []).append((given, file.printed))
    return [score(source, pairs) for source, pairs in answers.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help='"nano" or a checkpoint directory')
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures are, or are to be built")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    build(options.folder)
    scores = measure(LocalEngine.load(options.model, device="cpu", dtype="float32"), options.folder)
    print(format_scores("print", scores))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in scores], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
