"""How sharp and how large the faces of each person are over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

import numpy as np

from vidrestore.geometry import eye_distance
from vidrestore.report.chronology import Axis, axis_of, colour
from vidrestore.report.facts import Facts
from vidrestore.report.markup import clock, name, text

_WIDTH, _HEIGHT = 520, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 30
"""Room around the lines, in units of the drawing."""
_MOST_POINTS = 300
"""Of a line."""

Points = Sequence[tuple[float, float]]


def draw(facts: Facts) -> str:
    """Two drawings for each person who was measured."""
    drawn = "".join(_person(facts, number) for number in range(len(facts.analysis.identities)))
    return drawn or '<p class="empty">There is nobody to measure.</p>'


def _person(facts: Facts, number: int) -> str:
    person, axis = facts.analysis.identities[number], axis_of(facts)
    before, after = _sharpness(facts, person.id, after=False), _sharpness(facts, person.id, after=True)
    sizes = list(_sizes(facts, person.track_ids))
    values = [value for line in sizes for _, value in line]
    if not values:
        return ""
    return (
        f'<article class="plots" style="--person:{colour(number)}"><h3>{name(person.name)}</h3><div class="pair">'
        + _chart("Sharpness, 0 to 1", axis, 1.0, [("before", before), ("after", after)], _change(before, after))
        + _chart(
            "Face size: distance of the eyes in pixels",
            axis,
            max(values),
            [("size", sizes)],
            f"{min(values):.0f} to {max(values):.0f} px, in the middle {median(values):.0f} px",
            (facts.settings.fading.min_eye_pixels, "smaller faces stay as they are"),
        )
        + "</div></article>"
    )


def _change(before: Iterable[Points], after: Iterable[Points]) -> str:
    """The medians, of the same frames where both were measured."""
    first, last = (dict(point for line in lines for point in line) for lines in (before, after))
    if not first:
        return "not measured"
    if not last:
        return f"median {median(first.values()):.2f} before"
    return f"median {median(first[when] for when in last):.2f} before, {median(last.values()):.2f} after"


def _sharpness(facts: Facts, identity_id: int, *, after: bool) -> list[Points]:
    """A line for each track."""
    lines: dict[int, list[tuple[float, float]]] = {}
    for sample in facts.samples:
        value = sample.after if after else sample.before
        if sample.identity_id == identity_id and value is not None:
            lines.setdefault(sample.track_id, []).append((sample.seconds, value))
    return list(lines.values())


def _sizes(facts: Facts, track_ids: Sequence[int]) -> Iterator[Points]:
    base = float(facts.analysis.video.time_base)
    own = [track for track in facts.analysis.tracks if track.id in track_ids]
    step = max(1, math.ceil(sum(len(track.pts) for track in own) / _MOST_POINTS))
    for track in own:
        chosen = np.unique(np.append(np.arange(0, len(track.pts), step), len(track.pts) - 1))
        yield [(float(track.pts[i]) * base, eye_distance(track.landmarks[i])) for i in chosen.tolist()]


def _chart(
    title: str,
    axis: Axis,
    most: float,
    series: Sequence[tuple[str, Sequence[Points]]],
    told: str,
    limit: tuple[float, str] | None = None,
) -> str:
    """One drawing: a line of each kind for each track, marks at its points where they are few."""
    top, step = _scale(most)

    def place(seconds: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * axis.share(seconds) / 100
        return x, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(value, top) / top

    parts = []
    for level in range(round(top / step) + 1):
        _, y = place(axis.start, level * step)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{_LEFT - 8}" y="{y + 4:.1f}">{level * step:g}</text>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        seconds = axis.start + share * (axis.stop - axis.start)
        x, _ = place(seconds, 0)
        parts.append(f'<text text-anchor="{anchor}" x="{x:.1f}" y="{_HEIGHT - 8}">{clock(seconds)}</text>')
    if limit is not None and limit[0] <= top:
        _, y = place(axis.start, limit[0])
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="limit" x="{_WIDTH - _RIGHT}" y="{y - 5:.1f}">{text(limit[1])}</text>')
    for kind, lines in series:
        total = sum(len(line) for line in lines)
        for line in lines:
            places = [place(*point) for point in line]
            drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            parts.append(f'<path class="line {kind}" d="M{drawn}"/>')
            if total <= 60:
                parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    legend = "".join(f'<span class="key {kind}">{kind}</span>' for kind, _ in series if len(series) > 1)
    return (
        f'<figure class="chart"><figcaption><b>{text(title)}</b> {text(told)} {legend}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(title)} over time: {text(told)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _scale(most: float) -> tuple[float, float]:
    """The top of an axis that shows ``most``, and the step of its marks: 1, 2 or 5 times a power of ten."""
    rough = max(most, 1e-3) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return step * math.ceil(most / step - 1e-9), step
