"""Answers and questions as text that cannot load or disguise anything."""

import pytest

from qwen2vl_demo.ui.chat.markdown import literal, safe_markdown


@pytest.mark.parametrize(
    "text",
    [
        "<img src='https://x.example/a.png'>",
        "<IMG SRC=//x.example>",
        "</p><svg onload=alert(1)>",
        "<!-- -->",
        "<?xml ?>",
    ],
)
def test_tags_become_text(text: str) -> None:
    assert "<" not in safe_markdown(text)


def test_pictures_and_named_links_become_their_source() -> None:
    assert safe_markdown("![a](https://x.example/a.png)") == "!\\[a](https://x.example/a.png)"
    assert safe_markdown("[safe](https://x.example)") == "\\[safe](https://x.example)"
    assert safe_markdown("[a][1]\n\n[1]: https://x.example") == "\\[a]\\[1]\n\n\\[1]: https://x.example"


def test_what_is_plain_stays() -> None:
    text = "1 < 2, a <= b, **bold**, [note], x[0]\n\n- item\n\n| a | b |\n|---|---|\n"
    assert safe_markdown(text) == text


def test_code_keeps_its_characters() -> None:
    text = "See:\n```html\n<b>x</b> ![a](b)\n```\nand `<i>` too"
    assert safe_markdown(text) == text


def test_a_fence_that_never_ends_is_code_to_the_end_and_what_stands_before_is_not() -> None:
    assert safe_markdown("<b>\n```\n<i>") == "&lt;b>\n```\n<i>"


def test_unbalanced_ticks_hide_nothing() -> None:
    assert "<img" not in safe_markdown("` <img src=x> and `` <img src=y> `")


def test_a_visitors_words_are_shown_as_typed() -> None:
    assert literal("*a* <b> $x$ # 1") == "\\*a\\* &lt;b\\> \\$x\\$ \\# 1"
    assert literal("two  spaces\nand a line") == "two&nbsp; spaces\nand a line"
    assert literal("a & b &amp; c") == "a &amp; b &amp;amp; c"
