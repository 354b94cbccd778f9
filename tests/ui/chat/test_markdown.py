"""Answers and questions as Markdown that cannot load or disguise anything.

The output is parsed again by markdown-it-py with HTML and links switched on, after formulas are cut out as the browser
does. tests/browser/test_hostile_answers.py tests what the parser in the browser makes of it.
"""

import html
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from qwen2vl_demo.ui.chat import markdown as markdown_module
from qwen2vl_demo.ui.chat.markdown import _SOURCE, GrowingMarkdown, literal, safe_markdown
from qwen2vl_demo.ui.layout import LATEX
from tests.ui.chat.hostile_markdown import EVIL, HOSTILE

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OUR_TAGS = {"<code>", "</code>", "<wbr>"}
PIECES = (
    *("`", "``", "```", "~~~", "~~", "\\", "\n", "\n\n", "\t", "    ", " ", "- ", "1. ", "> ", "# ", "|", "\n|---|\n"),
    *("*", "_", "[", "]", "](", "]:", "(", ")", "!", "<", "</", ">", "&", "&#96;", "&#10;", "&lt;", "$", "$$", "$$x$$"),
    *("\n```\n", "\n~~~\n", "\n```js\n", "```mermaid\n", "\n---\n", "\n===\n", "a", "word", "[a]", "[a]: ", "[a]("),
    *("<img src=x>", "<script>", "<!--", "-->", "<pre>", "</pre>", f"![a]({EVIL})", f"[a]({EVIL})", EVIL, "www.x.org"),
    *("\\(", "\\)", "\\[", "\\]", "\\(x\\)", "\\[y\\]", "`\\(`", "$$\\($$"),
    *("\r", "\x0b", "\u2028", "\xa0", "\ufdd0", "\ufdd1", "\x00", "LATEX_BLOCK_0%%%"),
)
HOSTILE_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=24).map("".join),
    st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=3).map("".join),
)


def formulas(text: str) -> tuple[str, list[str]]:
    """The text without its formulas, and these, as Gradio's page finds them: one kind of delimiters after the other,
    in the order of layout.LATEX, the shortest from the left."""
    found = []
    for pair in LATEX:
        pattern = f"{re.escape(str(pair['left']))}(?:.|\n)+?{re.escape(str(pair['right']))}"
        found += re.findall(pattern, text)
        text = re.sub(pattern, "FORMULA", text)
    return text, found


def tokens(markdown: str) -> Iterator[Token]:
    for token in READER.parse(formulas(markdown)[0]):
        yield from token.children or [token]


def assert_harmless(markdown: str) -> None:
    for token in tokens(markdown):
        assert token.type not in ("image", "link_open"), markdown
        if token.type == "html_inline":
            assert token.content in OUR_TAGS, markdown
        if token.type == "html_block":
            content = token.content.strip()
            assert content.startswith("<pre><code") and content.endswith("</code></pre>"), markdown
            assert content.count("<") == 4, markdown
        if token.type == "fence":
            assert token.info != "mermaid", markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_answers_are_harmless(text: str) -> None:
    assert_harmless(safe_markdown(text))
    assert_harmless(literal(text))


@given(HOSTILE_TEXT)
def test_whatever_a_model_says_is_harmless(text: str) -> None:
    assert_harmless(safe_markdown(text))


@given(HOSTILE_TEXT)
def test_the_browser_finds_the_formulas_that_were_found_here_and_no_other(text: str) -> None:
    """Another one would swallow what stands between, or show Markdown that was written for the browser."""
    for formula in formulas(safe_markdown(text))[1]:
        assert formula in text.replace("\r\n", "\n").replace("\r", "\n").translate(_SOURCE)


@given(HOSTILE_TEXT)
def test_whatever_a_visitor_types_is_harmless(text: str) -> None:
    assert_harmless(literal(text))


@given(HOSTILE_TEXT, st.integers(0, 60))
def test_half_an_answer_is_harmless(text: str, length: int) -> None:
    assert_harmless(safe_markdown(text[:length]))


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
    assert safe_markdown("![a](https://x.example/a.png)") == "![a&rsqb;(https://x.example/a.png)"
    assert safe_markdown("[safe](https://x.example)") == "&lsqb;safe&rsqb;(https://x.example)"
    assert safe_markdown("[a][1]\n\n[1]: https://x.example") == "[a&rsqb;[1]\n\n&lsqb;1&rsqb;: https://x.example"


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        *[(f"http://{host}", False) for host in ("127.0.0.1:8000/v1", "localhost:7860", "vllm:8000", "192.168.1.1")],
        *[(f"https://{host}", False) for host in ("10.0.0.7/x", "172.16.0.1", "169.254.169.254/latest")],
        *[(f"https://{host}", True) for host in ("example.com:8000/v1", "172.40.0.1", "8.8.8.8", "a-b.example/10.")],
    ],
)
def test_addresses_inside_the_network_are_no_links(address: str, linked: bool) -> None:
    """The address of a server stood in the chat as a link. The browser makes links of what begins with "http:"."""
    for written in (safe_markdown(f"See {address} now."), literal(f"See {address} now.")):
        assert (address in written) == linked
        assert html.unescape(written) == f"See {address} now."


@pytest.mark.parametrize(
    "text",
    [
        "1 < 2, a <= b, **bold**, [note], x[0]\n\n- item\n\n| a | b |\n|---|---|",
        "# Heading\n\n*a* _b_ __c__ ~~d~~, snake_case, 2 * 3, AT & T, $5 and $6, 50%",
        "1. a\n2. b\n   - c\n\n     d",
        "- a\n- b\n\n+ c\n\n3) d",
        "> quote\n> more\n>\n> - list",
        "| a | b | c |\n|:--|--:|:-:|\n| `x` | **y** |  |",
        "A formula $$a < b$$ and\n\n$$\n\\frac{a}{b}\n+ c\n$$",
        "Inline \\(a < b_1\\) and\n\n\\[\n\\frac{a}{b}\n+ c\n\\]",
        "https://x.example/a_b?c=1#d and www.x.example",
        "one line\nand another",
        "- [ ] open\n- [x] done",
    ],
)
def test_what_is_plain_stays(text: str) -> None:
    assert safe_markdown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "See:\n\n```html\n<b>x</b> ![a](b)\n```\n\nand `x < y && z` too",
        "````\n```\n````",
        "- a\n\n  ```py\n  if x < 1:\n\n      y\n  ```",
        "`a  b` and ` ` `",
    ],
)
def test_code_keeps_its_characters(text: str) -> None:
    assert safe_markdown(text).replace("&grave;", "`") == text


def test_code_that_would_be_markup_elsewhere_is_written_with_entities() -> None:
    assert safe_markdown("`<i>`") == "<code>&lt;i&gt;</code>"
    assert safe_markdown("- ```js\n  <i>\n  ```") == '- <pre><code class="language-js">&lt;i&gt;</code></pre>'


def test_brackets_of_formulas_in_code_are_written_with_entities() -> None:
    """The page would look for a formula from there to the next closing bracket."""
    assert safe_markdown("`\\(x\\)`") == "<code>&bsol;&lpar;x&bsol;&rpar;</code>"
    assert safe_markdown("```\n\\[\n```") == "<pre><code>&bsol;&lsqb;</code></pre>"


def test_a_formula_that_would_be_a_link_is_text() -> None:
    assert safe_markdown(r"\[x](/logout) y\]") == "[x&rsqb;(/logout) y]"


def test_a_diagram_is_shown_as_code() -> None:
    assert safe_markdown("```mermaid\nA --> B\n```") == "```\nA --> B\n```"


def test_a_fence_that_never_ends_is_code_to_the_end_and_what_stands_before_is_not() -> None:
    assert safe_markdown("<b>\n```\n<i>") == "&lt;b>\n\n```\n<i>\n```"


def test_unbalanced_ticks_hide_nothing() -> None:
    assert "<img" not in safe_markdown("` <img src=x> and `` <img src=y> `")


@pytest.mark.parametrize(
    ("opened", "closed"), [("*a ", " a*"), ("**a ", " a**"), ("~~a ", " a~~"), ("*a **b ", " b** a*")]
)
def test_emphasis_thousands_deep_is_written_with_its_outer_levels(opened: str, closed: str) -> None:
    """It ended in a RecursionError."""
    written = safe_markdown(opened * 2000 + "x" + closed * 2000)
    assert written.startswith(opened)
    assert "&ast;" in written or "&#126;" in written
    assert_harmless(written)


def test_a_table_whose_rows_leave_out_hundreds_of_cells_is_text() -> None:
    """Filled up, 5 kB would become 65,000 cells."""
    columns = 200
    text = "|a" * columns + "|\n" + "|-" * columns + "|\n" + "|a\n" * 50
    assert len(safe_markdown(text)) < 2 * len(text)
    assert not any(token.type == "table_open" for token in READER.parse(safe_markdown(text)))
    full = "|a" * 30 + "|\n" + "|-" * 30 + "|\n" + ("|a" * 30 + "|\n") * 3 + "|a|\n"
    assert any(token.type == "table_open" for token in READER.parse(safe_markdown(full)))


@given(HOSTILE_TEXT, st.lists(st.sampled_from(PIECES), max_size=12))
def test_an_answer_that_grows_is_written_like_one_that_is_complete(text: str, more: list[str]) -> None:
    markdown = GrowingMarkdown()
    for piece in ["", "\n\n", *more]:
        text += piece
        assert markdown.update(text) == safe_markdown(text)


def test_an_answer_that_grows_is_parsed_from_its_new_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of 400 updates parses no more than the first ones, though the text is hundreds of times as long."""
    paragraph = "Some *words* of an answer, `code` and 1 < 2.\n\n- one\n- two\n\n"
    parsed: list[int] = []
    parse = markdown_module.parse

    def counted(source: str) -> SyntaxTreeNode:
        parsed.append(len(source))
        return parse(source)

    monkeypatch.setattr(markdown_module, "parse", counted)
    markdown = GrowingMarkdown()
    for count in range(1, 401):
        markdown.update(paragraph * count)
    assert len(parsed) == 400 and max(parsed) <= 2 * len(paragraph)


def test_a_visitors_words_are_shown_as_typed() -> None:
    assert literal("*a* <b> $x$ # 1. It is (b)!") == "&ast;a&ast; &lt;b> $x$ # 1. It is (b)!"
    assert literal("two  spaces\nand a line") == "two&nbsp; spaces\nand a line"
    assert literal("a & b &amp; c") == "a & b &amp;amp; c"
    assert literal("- a\n1. b\n---\n# c\n> d") == "&#45; a\n1&period; b\n&#45;--\n&num; c\n&gt; d"
    assert literal("    a\n\tb\n c") == "&nbsp; &nbsp; a\n&nbsp; &nbsp; b\n&nbsp;c"
