"""Colours of t, h and w, and a Plotly layout that is legible on light and dark pages.

The style sheets repeat the colours as CSS variables; a test holds the two equal.
"""

from __future__ import annotations

import plotly.graph_objects as go

AXES = ("t", "h", "w")
AXIS_NAMES = {"t": "time", "h": "row", "w": "column"}
# From the colour-blind safe palette of Okabe and Ito; each has a contrast of 3:1 on white and on near-black. A marker
# or a letter always goes with the colour.
AXIS_COLOURS = {"t": "#d55e00", "h": "#009e73", "w": "#0072b2"}
AXIS_MARKERS = {"t": "circle", "h": "square", "w": "diamond"}
OTHER = "#8a8a8f"  # what is compared with: plain 1-D positions, other models
INK = "#7c7c80"  # text, legible on white and on near-black
RULE = "rgba(128,128,132,.28)"  # grid lines
# Buttons removed from Plotly's mode bar; the one that saves a PNG stays.
BUTTONS = ["zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale"]
FONT = "IBM Plex Sans, system-ui, sans-serif"

QWEN = "#6a69d9"  # the page's accent colour
MODEL_COLOURS = (OTHER, "#c2453d", "#ad7a00", QWEN)  # in the order of `other_models.RULES`


def layout(*, height: int | None = None, **changes: object) -> go.Layout:
    """A frameless layout: transparent, one font, the legend on top, thin grid lines. `changes`: Plotly attributes."""
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
