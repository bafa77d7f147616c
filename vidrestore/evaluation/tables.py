"""A comparison as text: figures down, videos across, for the clip and for each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidrestore.evaluation.summary import FIGURES, FigureName

_BEST = {"high": "more is better", "low": "less is better", "1": "the truth's is best"}


def as_text(summary: Mapping[str, Any]) -> str:
    """The tables of a summary of ``compare_videos``."""
    outputs = summary["outputs"]
    headings = ["truth", "input", *short_names([output["path"] for output in outputs])]
    videos = [summary["truth"], summary["input"], *outputs]
    blocks = [_block("all faces", headings, videos)]
    blocks += [
        _block(person, headings, [video["people"][person] for video in videos]) for person in summary["truth"]["people"]
    ]
    notes = [f"judged by {summary['judge']}"]
    notes += [
        f"{name} was restored with faces found by {output['faces_found_by']}"
        for name, output in zip(headings[2:], outputs, strict=True)
        if output["faces_found_by"]
    ]
    notes.append(f"LPIPS by {summary['lpips_network']}" if summary["lpips_network"] else "LPIPS: not measured")
    if summary["faces_too_small"]:
        notes.append(f"{summary['faces_too_small']} faces were too small to be measured")
    return "\n\n".join([*blocks, "\n".join(notes)])


def short_names(paths: Sequence[str]) -> list[str]:
    """A name for each video: that of its file, numbered where several share it."""
    names = [Path(path).name for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]


def _block(title: str, headings: Sequence[str], videos: Sequence[Mapping[str, Any]]) -> str:
    widths = [max(len(heading), 9) for heading in headings]
    label_width = max(len(figure.label) for figure in FIGURES)
    first = f"{title} ({videos[0]['faces']})"
    lines = [" ".join([first.ljust(label_width), *(h.rjust(w) for h, w in zip(headings, widths, strict=True))])]
    for figure in FIGURES:
        values = [video.get(figure.key) for video in videos]
        if any(value is not None for value in values):
            cells = [_cell(value, figure).rjust(width) for value, width in zip(values, widths, strict=True)]
            lines.append(" ".join([figure.label.ljust(label_width), *cells, f"  {_BEST[figure.best]}"]))
    return "\n".join(lines)


def _cell(value: float | None, figure: FigureName) -> str:
    return "-" if value is None else f"{value:.{figure.digits}f}"
