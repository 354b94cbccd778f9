"""Theme, style sheets, scripts and content security policy of the page.

Fonts are those that come with Gradio. Nothing is fetched from other servers, and the policy enforces this.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import gradio as gr

from qwen2vl_demo.ui.lesson import scripts as lesson
from qwen2vl_demo.viz import lens_page as lens

STATIC = files("qwen2vl_demo.ui") / "static"

# Pictures, clips and connections from this server only, so that an address in an answer is never requested. Gradio
# needs inline styles and evaluated scripts, so these are not restricted.
POLICY = (
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "frame-src 'self'; object-src 'none'; form-action 'self'"
)


SHEETS = (
    "page.css",
    "dialog.css",
    "chats.css",
    "costs.css",
    "experiments.css",
    "variants.css",
    "lesson.css",
    "class.css",
    "attached.css",
    "pages.css",
    "keys.css",
    "message-rows.css",
    "answer-boxes.css",
    "fit.css",
    "eyes.css",
    "models.css",
    "reorder.css",
    "clock.css",
    "clip-part.css",
    "lightbox-mark.css",
    "lightbox-boxes.css",
)


@cache
def head() -> str:
    """The policy, the style sheets and the scripts of the lens, for <head>.

    launch(css=...) would prefix each rule with Gradio's container, so that it could not style what is outside it.
    """
    sheet = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SHEETS)
    return (
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>{sheet}</style>\n'
        f'<style id="lens-style">{lens.style()}</style>\n'
        f'<script type="application/json" id="lens-page">{lens.page_source()}</script>\n'
        f'<script id="lens-script">{lens.script()}</script>\n'
        f'<script id="lesson-script">{lesson.script()}</script>'
    )


@cache
def js() -> str:
    script = "\n".join(
        (STATIC / name).read_text(encoding="utf-8")
        for name in (
            "event-stream.js",
            "chat-changes.js",
            "clipboard.js",
            "links.js",
            "chat-storage.js",
            "open-chats.js",
            "chat-files.js",
            "chats.js",
            "chat-list.js",
            "chat-deletion.js",
            "chat-archive.js",
            "server-chats.js",
            "page.js",
            "follow.js",
            "keep-selection.js",
            "drop.js",
            "attached.js",
            "reorder.js",
            "pages.js",
            "clip-part.js",
            "settings.js",
            "models.js",
            "keys.js",
            "lightbox.js",
            "lightbox-mark.js",
            "lightbox-boxes.js",
            "message-rows.js",
            "box-names.js",
            "box-layers.js",
            "answer-boxes.js",
            "clock-times.js",
            "clock-peek.js",
            "clock.js",
            "keep-tab.js",
            "keep-figures.js",
            "chat-words.js",
            "log-sliders.js",
            "api-view.js",
        )
    )
    return f"() => {{\n{script}\n}}"


def theme() -> gr.themes.Base:
    """Paper and ink, with one accent."""
    accent = gr.themes.Color(
        c50="#f1f1fd",
        c100="#e4e4fb",
        c200="#cccdf7",
        c300="#abacf0",
        c400="#8a8be6",
        c500="#6a69d9",
        c600="#5350c4",
        c700="#4340a3",
        c800="#383683",
        c900="#2f2e68",
        c950="#1c1b40",
        name="accent",
    )
    ink = gr.themes.Color(
        c50="#faf9f7",
        c100="#f3f2ee",
        c200="#e6e4de",
        c300="#d2cfc7",
        c400="#a19e97",
        c500="#75736e",
        c600="#565551",
        c700="#34353a",
        c800="#22242a",
        c900="#191b20",
        c950="#121418",
        name="ink",
    )
    # Plex Sans in 600 comes with a few letters only, so bold is 700.
    made = gr.themes.Base(
        primary_hue=accent,
        secondary_hue=accent,
        neutral_hue=ink,
        radius_size=gr.themes.sizes.radius_lg,
        font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 600)), "ui-monospace", "monospace"],
    )
    return made.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_200",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="700",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        color_accent="*primary_600",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_950",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_700",
        button_secondary_text_color_dark="*neutral_200",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
    )
