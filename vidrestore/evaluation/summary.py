"""The mean of each figure, by clip and by person: what ``eval --json`` prints.

A figure of a person is its mean over that person's face-frames, a figure of the clip its mean over all face-frames; a
face-frame that the truth leaves without the figure is left out for all videos alike. A figure without any is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidrestore import metrics
from vidrestore.evaluation.measurement import Columns, Measurement

Rows = npt.NDArray[np.bool_]
Figures = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class FigureName:
    """One figure for people to read."""

    key: str
    label: str
    best: str
    """Where it ought to go: ``high``, ``low`` or ``1``."""
    digits: int = 3


FIGURES = (
    FigureName("psnr", "PSNR, dB", "high", 2),
    FigureName("psnr_gain", "gain in PSNR, dB", "high", 2),
    FigureName("ssim", "SSIM", "high", 4),
    FigureName("ssim_gain", "gain in SSIM", "high", 4),
    FigureName("improved", "share nearer to the truth", "high"),
    FigureName("lpips", "LPIPS", "low"),
    FigureName("identity", "identity similarity", "high"),
    FigureName("identity_gain", "gain in identity", "high"),
    FigureName("harm", "share whose identity fell", "low"),
    FigureName("harm_clear", f"share whose identity fell by > {metrics.CLEAR_FALL:g}", "low"),
    FigureName("landmark_error", "landmark error, eye dist.", "low"),
    FigureName("failures", "share not found again", "low"),
    FigureName("sharpness_ratio", "sharpness / truth's", "1"),
    FigureName("detail_ratio", "share of the truth's detail", "1"),
    FigureName("landmark_motion", "landmark motion, eye dist.", "1", 4),
    FigureName("landmark_motion_ratio", "landmark motion / truth's", "1"),
    FigureName("landmark_motion_error", "landmark motion error, eye dist.", "low", 4),
    FigureName("landmark_motion_error_ratio", "landmark motion error / truth's motion", "low"),
    FigureName("identity_drift", "identity drift between frames", "1"),
    FigureName("identity_drift_ratio", "identity drift / truth's", "1"),
    FigureName("warping_error", "warping error, levels", "1", 2),
    FigureName("warping_error_ratio", "warping error / truth's", "1"),
)
"""In the order of the table."""

_TEMPORAL = {
    "landmark_motion": "landmark_motion",
    # The truth's own error is 0, so the unit is how much there was to follow.
    "landmark_motion_error": "landmark_motion",
    "identity_drift": "identity_drift",
    "warping_error": "warping_error",
}
"""Temporal figures, and the figure of the truth that each is a ratio to."""


def summarise(measured: Measurement) -> dict[str, Any]:
    """``truth``, ``input`` and ``outputs``: the figures of the clip, and under ``people`` those of each person."""
    people = np.array(measured.people, dtype=object)
    groups = {name: people == name for name in dict.fromkeys(measured.people)}

    def with_people(figures: Callable[[Rows], Figures]) -> dict[str, Any]:
        everyone = np.ones(len(people), dtype=bool)
        return {**figures(everyone), "people": {name: figures(rows) for name, rows in groups.items()}}

    def plain(columns: Columns) -> dict[str, Any]:
        return with_people(lambda rows: _figures(columns, measured.truth, rows))

    def restored(columns: Columns) -> dict[str, Any]:
        return with_people(
            lambda rows: _figures(columns, measured.truth, rows) | _gains(columns, measured.source, rows)
        )

    return {
        "truth": plain(measured.truth),
        "input": plain(measured.source),
        "outputs": [restored(columns) for columns in measured.outputs],
        "frames": measured.frames,
        "faces": len(people),
        "faces_too_small": measured.faces_too_small,
    }


def _figures(columns: Columns, truth: Columns, rows: Rows) -> Figures:
    """Means over ``rows``, the temporal ones over the truth's own, and how many face-frames the figures rest on."""
    counts: Figures = {
        "faces": int(rows.sum()),
        "faces_with_landmarks": int(np.isfinite(truth["failures"][rows]).sum()),
        "faces_in_motion": int(np.isfinite(truth["warping_error"][rows]).sum()),
    }
    means = {name: _mean(values[rows]) for name, values in columns.items()}
    ratios = {f"{name}_ratio": _ratio(means[name], _mean(truth[of][rows])) for name, of in _TEMPORAL.items()}
    return counts | means | ratios


def _gains(columns: Columns, source: Columns, rows: Rows) -> Figures:
    """What changed from the input."""
    before, after = source["identity"][rows], columns["identity"][rows]
    nearer = (columns["psnr"] > source["psnr"])[rows]
    return {
        **{f"{name}_gain": _mean((columns[name] - source[name])[rows]) for name in ("psnr", "ssim", "identity")},
        "improved": _mean(nearer.astype(np.float64)),
        "harm": _defined(metrics.harm(before, after)),
        "harm_clear": _defined(metrics.harm(before, after, metrics.CLEAR_FALL)),
    }


def _mean(values: metrics.Reals) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _ratio(value: float | None, unit: float | None) -> float | None:
    return value / unit if value is not None and unit else None


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
