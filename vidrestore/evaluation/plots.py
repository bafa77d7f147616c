"""A comparison as pictures: the figures of each person over time, and bars across the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vidrestore.errors import VideoError
from vidrestore.evaluation.comparison import Comparison
from vidrestore.evaluation.measurement import Measurement
from vidrestore.evaluation.summary import FIGURES, FigureName
from vidrestore.evaluation.tables import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")
_OVER_TIME = ("psnr", "identity", "sharpness_ratio", "detail_ratio")
_BARS = (
    "psnr_gain",
    "ssim_gain",
    "lpips",
    "identity",
    "harm_clear",
    "landmark_error",
    "failures",
    "sharpness_ratio",
    "detail_ratio",
    "landmark_motion_error",
    "identity_drift_ratio",
    "warping_error_ratio",
)
_NAMED = {figure.key: figure for figure in FIGURES}
_BEST = {"high": "more is better", "low": "less is better", "1": "1 is best"}
_INPUT_COLOUR = "0.6"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart also by the colour-blind (Okabe and Ito); repeated where there are more outputs."""


def write_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``outputs.png`` and, for each person, ``person_N.png`` into ``folder``, which is made where it is missing.

    Raises:
        VideoError: the folder cannot be written.
    """
    names = ["input", *short_names([output["path"] for output in comparison.summary["outputs"]])]
    drawings = {"outputs.png": bars(comparison.summary, names)}
    for number, person in enumerate(dict.fromkeys(comparison.measured.people), start=1):
        drawings[f"person_{number}.png"] = over_time(comparison.measured, person, names)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawing in drawings.items():
            drawing.savefig(folder / name, dpi=120)
            written.append(folder / name)
    except OSError as error:
        raise VideoError(f"the plots cannot be written to {folder} ({error}); name another folder") from error
    return written


def over_time(measured: Measurement, person: str, names: Sequence[str]) -> Figure:
    """PSNR, identity and sharpness of one person's faces over time: a line for the input and for each output."""
    figure, axes = _panels(len(_OVER_TIME), columns=1, size=(9.0, 2.2))
    rows = np.array([name == person for name in measured.people])
    # A line for each track: between two of them the face was away.
    tracks = [rows & (np.array(measured.tracks) == track) for track in np.unique(np.array(measured.tracks)[rows])]
    for panel, key in zip(axes, _OVER_TIME, strict=True):
        for colour, name, columns in _coloured(names, [measured.source, *measured.outputs]):
            for index, track in enumerate(tracks):
                label = name if index == 0 else None
                panel.plot(measured.seconds[track], columns[key][track], color=colour, label=label, linewidth=1.2)
        if _NAMED[key].best == "1":
            panel.axhline(1.0, color="0.3", linestyle=":", linewidth=1)
        panel.set_ylabel(_NAMED[key].label, fontsize=8)
        panel.grid(alpha=0.25)
    axes[-1].set_xlabel("seconds")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8)
    figure.suptitle(f"{person}: {int(rows.sum())} faces", fontsize=11)
    return figure


def bars(summary: Mapping[str, Any], names: Sequence[str]) -> Figure:
    """A panel for each figure of the clip, and in it a bar for the input and for each output."""
    videos = [summary["input"], *summary["outputs"]]
    shown = [key for key in _BARS if any(video.get(key) is not None for video in videos)]
    figure, axes = _panels(len(shown), columns=4, size=(3.0, 2.0 + 0.15 * len(videos)))
    for panel, key in zip(axes, shown, strict=False):
        _bar_panel(panel, _NAMED[key], names, [video.get(key) for video in videos])
    figure.suptitle(f"{summary['faces']} faces, judged by {summary['judge']}", fontsize=11)
    return figure


def _bar_panel(panel: Axes, figure: FigureName, names: Sequence[str], values: Sequence[float | None]) -> None:
    """One figure: a bar and its number for each video that has it."""
    for place, (colour, _, value) in enumerate(_coloured(names, values)):
        if value is not None:
            panel.barh(place, value, color=colour)
            panel.text(max(value, 0.0), place, f" {value:.{figure.digits}f}", va="center", fontsize=7)
    panel.set_yticks(range(len(names)), names, fontsize=7)
    panel.set_ylim(len(names) - 0.4, -0.6)
    known = [value for value in values if value is not None] + [1.0] * (figure.best == "1")
    low, high = min(0.0, *known), max(0.0, *known)
    panel.set_xlim(low * 1.25, high * 1.25 if high > low else 1.0)
    panel.locator_params(axis="x", nbins=4)
    panel.tick_params(axis="x", labelsize=7)
    if figure.best == "1":
        panel.axvline(1.0, color="0.3", linestyle=":", linewidth=1)
    panel.set_title(f"{figure.label}\n{_BEST[figure.best]}", fontsize=8)


def _panels(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A drawing of ``count`` panels, each of ``size`` inches."""
    from matplotlib.figure import Figure as Drawing

    rows = max(1, -(-count // columns))
    figure = Drawing(figsize=(size[0] * columns, size[1] * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=columns == 1).ravel().tolist()
    for panel in axes[count:]:
        panel.set_axis_off()
    return figure, axes


def _coloured(names: Sequence[str], videos: Sequence[T]) -> list[tuple[str, str, T]]:
    """Colour, name and figures of each video; the input is grey."""
    colours = [_INPUT_COLOUR, *(_COLOURS[index % len(_COLOURS)] for index in range(len(videos) - 1))]
    return list(zip(colours, names, videos, strict=True))
