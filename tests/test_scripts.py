"""Scripts, style sheets and pages: what the formatter leaves alone. prettier and eslint do the rest in .ci/run."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_a_line_has_at_most_120_characters() -> None:
    """prettier breaks neither comments nor long strings."""
    files = [file for file in (ROOT / "qwen2vl_demo").rglob("static/**/*") if file.suffix in {".js", ".css", ".html"}]
    long = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert len(files) >= 30 and long == []
