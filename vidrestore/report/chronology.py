"""Shots, people and what was left as it was, drawn along the time of the video.

Places are shares of the width, so that the drawing is stretched by its width alone, and text and strokes are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vidrestore.report.facts import NOBODY, Facts, Stretch
from vidrestore.report.markup import between, clock, name, text

_ROW = 44
_AXIS = 26
_BAR = 22
_STRIP = 6
"""Heights in pixels: of a row, the axis, a bar, and the strip below it that tells what was left."""
COLOURS = 7
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
"""Seconds between two marks of the axis."""
_MARKS = 9
_LAST_TEXT = 94.0
"""Percent of the width beyond which the text of a mark would be cut off."""
_PATTERNS = (
    "",
    '<path d="M-2 10L10 -2M2 14L14 2M-6 6L6 -6"/>',
    '<circle cx="3" cy="3" r="1.6"/><circle cx="9" cy="9" r="1.6"/>',
    '<path d="M0 3H12M0 9H12"/>',
    '<path d="M3 0V12M9 0V12"/>',
    '<path d="M0 0L12 12M12 0L0 12"/>',
    '<path d="M0 9L3 3L6 9L9 3L12 9"/>',
)
"""Drawn over the colours, so that people are told apart without them."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that is drawn, in seconds."""

    start: float
    stop: float

    def share(self, seconds: float) -> float:
        """Where it is, in percent of the width."""
        return 100 * (seconds - self.start) / max(self.stop - self.start, 1e-6)


def axis_of(facts: Facts) -> Axis:
    """From the first frame to the end of the last one."""
    analysis, base = facts.analysis, float(facts.analysis.video.time_base)
    if not analysis.shots:
        return Axis(0.0, 1.0)
    start, last = analysis.shots[0].first * base, analysis.shots[-1].last * base
    return Axis(start, last + (last - start) / max(analysis.frame_count - 1, 1))


def draw(facts: Facts) -> str:
    """The drawing, with a column of names that stays beside it, and the list of its tracks."""
    axis = axis_of(facts)
    rows = list(_rows(facts, axis))
    height = _AXIS + _ROW * len(rows)
    names = "".join(f'<div style="height:{_ROW}px">{label}</div>' for label, _ in rows)
    drawn = "".join(f'<g transform="translate(0 {_AXIS + _ROW * i})">{bars}</g>' for i, (_, bars) in enumerate(rows))
    return (
        '<div class="chronology"><div class="lanes" aria-hidden="true">'
        f'<div style="height:{_AXIS}px"></div>{names}</div><div class="scroller" tabindex="0" role="region" '
        'aria-label="Timeline; arrow keys scroll, plus and minus zoom">'
        f'<svg class="time" height="{height}" data-start="{axis.start:.3f}" data-stop="{axis.stop:.3f}" role="group" '
        f'aria-label="Shots and people over time"><defs>{"".join(_patterns(facts))}</defs>'
        f'<g class="marks" data-height="{height}">{"".join(_marks(axis, height))}</g>{drawn}</svg></div></div>'
    )


def colour(number: int) -> str:
    """The CSS colour of the person of that number in the list of people; ``None`` of them has the last number."""
    return f"var(--person-{number % COLOURS})"


def _patterns(facts: Facts) -> Iterator[str]:
    for number in range(len(facts.analysis.identities)):
        shape = _PATTERNS[(number + number // COLOURS) % len(_PATTERNS)]
        yield (
            f'<pattern id="person-fill-{number}" width="12" height="12" patternUnits="userSpaceOnUse" '
            f'style="color:{colour(number)}"><rect width="12" height="12" fill="currentColor" opacity="0.45"/>'
            f'<g stroke="currentColor" stroke-width="1.5" fill="none">{shape}</g></pattern>'
        )


def _marks(axis: Axis, height: int) -> Iterator[str]:
    length = axis.stop - axis.start
    step = next((step for step in _STEPS if length / step <= _MARKS), _STEPS[-1])
    first = -int(-axis.start // step)
    for number in range(first, int(axis.stop // step) + 1):
        x = f"{axis.share(number * step):.4f}%"
        yield f'<line x1="{x}" x2="{x}" y1="{_AXIS - 6}" y2="{height}"/>'
        if axis.share(number * step) < _LAST_TEXT:
            yield f'<text x="{x}" y="14">{clock(number * step)}</text>'


def _rows(facts: Facts, axis: Axis) -> Iterator[tuple[str, str]]:
    """Name and bars of each lane."""
    base = float(facts.analysis.video.time_base)
    frame = (axis.stop - axis.start) / max(facts.analysis.frame_count, 1)
    shots = (
        _bar(axis, shot.first * base, shot.last * base + frame, "shot", f"shot {number}", f"{number}")
        for number, shot in enumerate(facts.analysis.shots, start=1)
    )
    yield "shots", "".join(shots)
    for number, person in enumerate(facts.analysis.identities):
        style = f'style="color:{colour(number)}" fill="url(#person-fill-{number})"'
        yield name(person.name), _lane(facts, axis, frame, set(person.track_ids), person.name, style)
    others = {track.id for track in facts.analysis.unassigned_tracks}
    if others:
        yield NOBODY, _lane(facts, axis, frame, others, NOBODY, 'class="nobody"')


def _lane(facts: Facts, axis: Axis, frame: float, track_ids: set[int], who: str, style: str) -> str:
    base = float(facts.analysis.video.time_base)
    bars = "".join(
        _bar(axis, track.pts[0] * base, track.pts[-1] * base + frame, "track", f"{who}, track {track.id}")
        for track in facts.analysis.tracks
        if track.id in track_ids
    )
    own = (stretch for stretch in facts.stretches if stretch.track_id in track_ids)
    return f"<g {style}>{bars}</g>{''.join(_strips(own, axis, frame, who))}"


def _bar(axis: Axis, start: float, stop: float, kind: str, told: str, shown: str = "") -> str:
    label = text(f"{told}, {between(start, stop)}")
    x, width = axis.share(start), axis.share(stop) - axis.share(start)
    inside = f'<text x="{x:.4f}%" dx="6" y="19">{shown}</text>' if shown else ""
    return (
        f'<g class="bar {kind}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<rect x="{x:.4f}%" y="4" width="{width:.4f}%" height="{_BAR}" rx="3"/>{inside}</g>'
    )


def _strips(stretches: Iterable[Stretch], axis: Axis, frame: float, who: str) -> Iterator[str]:
    for stretch in stretches:
        label = text(f"{who}, {stretch.reason}, {between(stretch.start, stretch.stop)}")
        x = axis.share(stretch.start)
        yield (
            f'<g class="bar strip" role="img" aria-label="{label}"><title>{label}</title>'
            f'<rect x="{x:.4f}%" y="{4 + _BAR + 3}" width="{axis.share(stretch.stop + frame) - x:.4f}%" '
            f'height="{_STRIP}"/></g>'
        )
