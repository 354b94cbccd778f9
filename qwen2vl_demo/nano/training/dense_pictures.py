"""Dense pictures for training the vision transformer alone: documents, and as many things or characters as fit.

There are no questions about them, only the ground truth of every cell. A full picture teaches what each merged token
shows several times as fast as the sparser scenes of the dialogues.
"""

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.documents import draw_document, random_document, text_sign
from qwen2vl_demo.nano.world.drawing import CellTruth, draw_scene, font_paths, text_box
from qwen2vl_demo.nano.world.icon_variants import as_icon
from qwen2vl_demo.nano.world.layout import TINTED, random_background, random_style
from qwen2vl_demo.nano.world.scene import (
    CHART_LETTERS,
    COLOURS,
    SHAPES,
    SIGN_WORDS,
    Scene,
    Sign,
    Thing,
    choose,
    random_rgb,
)

DOCUMENT_SHARE = 0.35
TEXT_SHARE = 0.25  # of the other pictures
ICON_SHARE = 0.75  # of the things, if there are icons


def random_dense_picture(rng: np.random.Generator, size: tuple[int, int]) -> Dialogue:
    """A dense picture of (height, width) pixels, as a dialogue whose only turn is a placeholder that shows it."""
    height, width = size
    if rng.random() < DOCUMENT_SHARE:
        pixels, cells = draw_document(random_document(rng, size), rng)
        return _as_dialogue(pixels, cells)
    background = random_background(rng, tinted_share=TINTED)
    blur = float(rng.uniform(0.3, 0.8)) if rng.random() < 0.15 else 0.0
    jpeg = int(rng.integers(35, 90)) if rng.random() < 0.15 else 0
    things: tuple[Thing, ...] = ()
    signs: tuple[Sign, ...] = ()
    if rng.random() < TEXT_SHARE:
        signs = tuple(_text_lines(rng, height, width, background.dark))
    else:
        things = tuple(_crowd(rng, height, width, background.dark))
    scene = Scene(height, width, background, things, signs, random_style(rng), blur, jpeg)
    pixels, cells = draw_scene(scene, rng)
    return _as_dialogue(pixels, cells)


def _as_dialogue(pixels: np.ndarray, cells: CellTruth) -> Dialogue:
    return Dialogue((pixels,), (DialogueTurn("?", "?", "chat", (0,), 2),), ((cells,),))


def _crowd(rng: np.random.Generator, height: int, width: int, dark: bool) -> list[Thing]:
    """Things on a jittered grid: mostly many small ones, sometimes a few large ones, or one that fills the picture."""
    dice, largest = rng.random(), min(height, width)
    pitch = float(rng.uniform(30, 66) if dice < 0.65 else rng.uniform(66, largest) if dice < 0.8 else largest)
    rows, columns = int(height // pitch), int(width // pitch)
    nouns = icons.nouns()
    colours = [c for c in COLOURS if not (dark and c == "black")]
    things = []
    for row in range(rows):
        for column in range(columns):
            radius = pitch / 2 * float(rng.uniform(0.75, 1.0)) - 0.5
            slack = pitch / 2 - radius
            x = (column + 0.5) * width / columns + float(rng.uniform(-slack, slack))
            y = (row + 0.5) * height / rows + float(rng.uniform(-slack, slack))
            if nouns and rng.random() < ICON_SHARE:
                things.append(as_icon(rng, Thing(choose(rng, nouns), "", (128, 128, 128), x, y, radius)))
            else:
                colour, turn = choose(rng, colours), float(np.radians(rng.uniform(-12, 12)))
                things.append(Thing(choose(rng, SHAPES), colour, random_rgb(rng, colour), x, y, radius * 0.92, turn))
    return things


def _text_lines(rng: np.random.Generator, height: int, width: int, dark: bool) -> list[Sign]:
    """Lines of words, numbers, prices, times and letters, each line in its own font and size."""
    signs: list[Sign] = []
    y = float(rng.integers(2, 12))
    while True:
        font, dice = int(rng.integers(len(font_paths()))), rng.random()
        size = int(rng.integers(16, 46) if dice < 0.5 else 18 if dice < 0.85 else rng.integers(46, 140))
        if y + size > height:
            return signs
        rgb = (245, 245, 245) if dark else random_rgb(rng, choose(rng, ("black", "black", "blue", "red", "purple")))
        x = float(rng.integers(2, 14))
        for _ in range(12):
            text = _random_text(rng)
            x1, _, x2, _ = text_box(font, size, text)
            if x + (x2 - x1) < width - 1:
                signs.append(text_sign(text, font, size, x, y, rgb))
                x += (x2 - x1) + size * float(rng.uniform(0.3, 1.0))
        y += size * float(rng.uniform(1.05, 1.5))


def _random_text(rng: np.random.Generator) -> str:
    dice = rng.random()
    if dice < 0.45:
        return str(choose(rng, SIGN_WORDS))
    if dice < 0.7:
        return str(int(rng.integers(0, 1000)))
    if dice < 0.82:
        return f"${int(rng.integers(1, 100))}"
    return f"{int(rng.integers(6, 24))}:00" if dice < 0.9 else str(choose(rng, CHART_LETTERS))
