"""Rows of the bench, and how two sides are timed: alternately, in one process, for several rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qwen2vl_demo.errors import UserError


class Unequal(UserError):
    """Both sides produced different results, so their times must not be compared."""


@dataclass(frozen=True)
class Series:
    """The measurements of one side, one per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def text(self) -> str:
        """`0.41 (0.39 to 0.47)`"""
        return f"{self.median:.3g} ({min(self.values):.3g} to {max(self.values):.3g})"


@dataclass(frozen=True)
class BenchRow:
    """One comparison. `goal` is the lowest acceptable ratio or, without a peer, the highest acceptable `ours`; None
    where there is no goal."""

    row: str
    ours: Series
    peer: Series | None
    goal: float | None
    unit: str  # "s", "ms", "kB": less is better; "tokens/s": more is better
    against: str  # the peer, or what was measured
    check: str  # what was found equal before measuring

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer."""
        if self.peer is None:
            return None
        ours, peer = self.ours.median, self.peer.median
        return ours / peer if self.unit == "tokens/s" else peer / ours

    @property
    def reached(self) -> bool:
        if self.goal is None:
            return True
        return self.ours.median <= self.goal if self.ratio is None else self.ratio >= self.goal

    def to_dict(self) -> dict[str, Any]:
        def both(series: Series | None) -> tuple[float | None, list[float] | None]:
            if series is None:
                return None, None
            return round(series.median, 5), [round(min(series.values), 5), round(max(series.values), 5)]

        ours, ours_range = both(self.ours)
        peer, peer_range = both(self.peer)
        return {
            "row": self.row,
            "ours": ours,
            "peer": peer,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.goal,
            "unit": self.unit,
            "rounds": len(self.ours.values),
            "ours_range": ours_range,
            "peer_range": peer_range,
            "against": self.against,
            "check": self.check,
        }


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def alternate(rounds: int, *sides: Callable[[], object], warm: bool = True) -> list[Series]:
    """Seconds of each side. A round runs all sides; with `warm`, each runs once before the first round."""
    if warm:
        for side in sides:
            side()
    times = [[seconds(side) for side in sides] for _ in range(rounds)]
    return [Series(tuple(column)) for column in zip(*times, strict=True)]


HEADER = "| row | ours | peer | ratio | goal | unit | rounds | against |\n|---|---|---|---|---|---|---|---|"


def table_line(record: dict[str, Any]) -> str:
    """A row of `BenchRow.to_dict` as a line of the table below HEADER."""

    def side(name: str) -> str:
        if record[name] is None:
            return ""
        low, high = record[f"{name}_range"]
        return f"{record[name]:.3g} ({low:.3g} to {high:.3g})"

    ratio = "" if record["ratio"] is None else f"{record['ratio']:.2f}"
    goal = "" if record["goal"] is None else f"{'at most ' * (record['ratio'] is None)}{record['goal']:g}"
    cells = [
        record["row"],
        side("ours"),
        side("peer"),
        ratio,
        goal,
        record["unit"],
        record["rounds"],
        record["against"],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def table(records: Sequence[dict[str, Any]]) -> str:
    return "\n".join([HEADER, *map(table_line, records)])
