"""Words that were stiff, and were put into plain English, come back in no part of the page."""

import re
from pathlib import Path

import pytest

import qwen2vl_demo

PACKAGE = Path(qwen2vl_demo.__file__).parent
STIFF = (  # patterns of what stood there; behind each, what stands there now
    r"[Mm]ost tokens a picture",  # Maximum tokens per picture
    r"[Ff]rames a second",  # Frames per second
    r"behind it stands at|stands at \d",  # the next word is at position ...
    r"positions of the words behind this",  # How far does the position counter move on after this picture?
    r"need not be sent for that",  # You don't have to send it.
    r"(upper|lower) end acted|budget does not act",  # limited by the maximum / within the budget
    r"one address a picture",  # the same position for the whole picture
    r"tokens stand .* apart",  # The tokens differ by 0 in t, 0 in h and 1 in w
    r"spoken by",  # from ...
    r"Lift faint",  # Brighten faint cells
    r"(slower|faster) than said",  # slower than predicted
    r"tokens a picture\b",  # tokens per picture
)


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    """What may be shown: every source of the page and of the settings, without the comments of Python."""
    files = [*(PACKAGE / "ui").rglob("*"), *(PACKAGE / "viz").rglob("*"), PACKAGE / "settings.py"]
    texts = {file: file.read_text(encoding="utf-8") for file in files if file.suffix in {".py", ".js", ".html"}}
    return {str(file.relative_to(PACKAGE)): re.sub(r"(?m)(^|\s)#.*$", "", text) for file, text in texts.items()}


@pytest.mark.parametrize("stiff", STIFF)
def test_a_stiff_sentence_is_gone(words: dict[str, str], stiff: str) -> None:
    assert len(words) > 100
    assert [name for name, text in words.items() if re.search(stiff, text)] == []
