"""What all figures share: the colours of t, h and w, and a Plotly layout that is readable on a dark and a light page.

Knows colours and numbers only. The page repeats the colours as CSS variables (`--axis-t`, `--axis-h`, `--axis-w`);
`css_variables` writes them, so that the two cannot drift apart.
"""

from __future__ import annotations

import plotly.graph_objects as go

AXES = ("t", "h", "w")
AXIS_NAMES = {"t": "time", "h": "row", "w": "column"}
# From the palette of Okabe and Ito, told apart by colour-blind people; each stands out 3:1 from a white page and from
# a near-black one. A second sign (marker, letter) always goes with them.
AXIS_COLOURS = {"t": "#d55e00", "h": "#009e73", "w": "#0072b2"}
AXIS_MARKERS = {"t": "circle", "h": "square", "w": "diamond"}
OTHER = "#8a8a8f"  # what M-RoPE is compared with: plain 1-D positions, other models
INK = "#7c7c80"  # words of a figure: readable on white and on near-black
RULE = "rgba(128,128,132,.28)"  # grid lines
# What plotly's bar of buttons is spared; the picture can still be kept as a PNG.
BUTTONS = ["zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale"]
FONT = "IBM Plex Sans, system-ui, sans-serif"

QWEN = "#6a69d9"  # Qwen2-VL beside other models: the page's accent
MODEL_COLOURS = (OTHER, "#c2453d", "#ad7a00", QWEN)  # compared models, in the order of `viz.compare.RULES`


def css_variables() -> str:
    """`--axis-t: #d55e00; ...`, for a style sheet."""
    return " ".join(f"--axis-{axis}: {AXIS_COLOURS[axis]};" for axis in AXES)


def layout(*, height: int | None = None, **changes: object) -> go.Layout:
    """A small figure without a frame: transparent, one font, legend above, thin rules."""
    axis = {
        "gridcolor": RULE,
        "linecolor": RULE,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": RULE,
        "automargin": True,
    }
    plain: dict[str, object] = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": INK},
        "margin": {"l": 52, "r": 10, "t": 34, "b": 44},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": INK, "remove": BUTTONS},
    }
    made = go.Layout(plain)
    made.update(xaxis=axis, yaxis=axis)
    if height is not None:
        made.height = height
    return made.update(changes)
