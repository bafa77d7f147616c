"""The log of a training run, and its curves as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG, CURVES = "log.csv", "curves.png"
_ABSCISSAS = ("step", "minutes", "progress")
_COLUMNS = 3
_SMOOTHED_ROWS = 20
"""From this many reports on, a curve is drawn with its running mean over a tenth of them."""


class RunLog:
    """The reports of a run, a row each, in ``folder``; those after ``step`` are dropped, as that part is done again."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._rows = [row for row in read_log(folder / LOG) if row["step"] <= step]

    @property
    def last(self) -> dict[str, float]:
        """The figures of the last report, with five digits."""
        row = self._rows[-1] if self._rows else {}
        return {name: float(f"{value:.5g}") for name, value in row.items() if name not in _ABSCISSAS}

    def add(self, row: Mapping[str, float]) -> None:
        """Write one more row, and draw the curves anew."""
        self._rows.append(dict(row))
        columns = dict.fromkeys(name for known in self._rows for name in known)
        part = self._folder / (LOG + ".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows({name: f"{value:.9g}" for name, value in row.items()} for row in self._rows)
        part.replace(self._folder / LOG)
        draw_curves(self._rows, self._folder / CURVES)


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log, without what was not measured; none where there is no log."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """A picture of all figures of ``rows`` over the steps; held-out figures have names that begin with ``val``."""
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in _ABSCISSAS]
    lines = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.6 * lines), layout="constrained")
    for axes, name in zip(figure.subplots(lines, _COLUMNS, squeeze=False).flat, names, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        steps, values = ([point[i] for point in points] for i in (0, 1))
        colour = "tab:orange" if name.startswith("val") else "tab:blue"
        several = len(points) >= _SMOOTHED_ROWS
        axes.plot(steps, values, color=colour, alpha=0.35 if several else 1.0, marker="." if len(points) < 3 else "")
        if several:
            axes.plot(steps, _running_mean(values, len(values) // 10), color=colour)
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    for axes in figure.axes[len(names) :]:
        axes.set_axis_off()
    part = path.with_name(path.name + ".part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(path)


def _running_mean(values: Sequence[float], count: int) -> list[float]:
    """The mean of each value and up to ``count - 1`` before it."""
    return [sum(window) / len(window) for i in range(len(values)) for window in [values[max(0, i + 1 - count) : i + 1]]]
