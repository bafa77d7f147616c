"""Where a restored video is cut into segments: between shots, and within those that are too long.

Times are seconds of presentation as exact fractions, so that they mean the same in the time base of frames and fields.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil

from vidrestore.types import Frame, Shot


def cuts_between(shots: Sequence[Shot], time_base: Fraction, longest: Fraction) -> tuple[Fraction, ...]:
    """When each segment but the first begins, rising.

    A segment is as many whole shots as last no longer than ``longest`` seconds; a shot that is longer is cut into equal
    parts that are not.
    """
    if not shots:
        return ()
    borders = [shot.first * time_base for shot in shots] + [(shots[-1].last + 1) * time_base]
    starts = [borders[0]]
    for first, end in pairwise(borders):
        if end - starts[-1] <= longest:
            continue
        if first > starts[-1]:
            starts.append(first)
        parts = ceil((end - first) / longest)
        starts += [first + (end - first) * part / parts for part in range(1, parts)]
    return tuple(starts[1:])


def shots_within(shots: Sequence[Shot], first: Fraction, end: Fraction | None) -> tuple[Shot, ...]:
    """``shots`` as far as they lie from pts ``first`` on and, where there is one, before ``end``."""
    last = shots[-1].last if shots and end is None else ceil(end or 0) - 1
    inside = (Shot(max(shot.first, ceil(first)), min(shot.last, last)) for shot in shots)
    return tuple(shot for shot in inside if shot.first <= shot.last)


def number_of(frame: Frame, cuts: Sequence[Fraction]) -> int:
    """In which segment ``frame`` is, from 0 on."""
    return bisect_right(cuts, frame.pts * frame.time_base)
