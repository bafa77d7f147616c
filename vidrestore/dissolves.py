"""Dissolves, recognised when they are over: the frames between two pictures were mixtures of just these two.

A dissolve adds a falling share of one shot to a rising share of the next, so each of its frames lies on the straight
line between the pictures before and after it. Motion, a pan or a flash leaves that line. The comparison of two pictures
some way apart, and not of neighbours, follows Zhang, Kankanhalli and Smoliar, "Automatic partitioning of full-motion
video" (Multimedia Systems 1, 1993), the line Hampapur, Jain and Weymouth, "Digital video segmentation" (ACM Multimedia
1994).
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vidrestore.types import Floats

_ENDS: Final = 1 / 6
"""Share of a window at either end that must show the one and the other picture."""
_PURE: Final = _ENDS / 2
"""Share of the other picture, 0..1, that these may hold: they move, too. Amid a dissolve it is twice that."""
_SHORTEST: Final = 9
"""Frames of the shortest window; each longer one has a quarter more."""
_MIXED: Final = (0.2, 0.8)
"""Shares between which a frame counts as a mixture."""
_MIN_MIXED: Final = 2
"""Mixtures that a dissolve has at least; fewer are a cut."""
_MAX_FALL: Final = 0.1
"""How far the share of the new picture may fall from one frame to the next, because of motion."""
_MAX_MISS: Final = 0.35
"""Energy that the mixture misses of a frame, over what the better of the two pictures alone misses."""
_MIN_CHANGE: Final = 4.0
"""Root mean square difference of the two pictures, in grey levels, below which there is nothing to dissolve."""


class Dissolve(NamedTuple):
    """A dissolve that has just ended."""

    before: Floats
    """Picture before it, as it was given."""
    after: Floats
    """Picture after it."""
    frames: int
    """Frames, the last one included, since the new picture outweighs the old one."""


class DissolveFinder:
    """Looks for dissolves of up to ``longest`` frames in a run of small pictures of one size."""

    def __init__(self, longest: int) -> None:
        whole = round(longest / (1 - 2 * _ENDS))
        self._windows = [size for k in range(20) if (size := round(_SHORTEST * 1.25**k)) <= whole]
        self._pictures: deque[Floats] = deque(maxlen=self._windows[-1] if self._windows else 0)

    def forget(self) -> None:
        """A new shot begins: what was before it is no longer compared."""
        self._pictures.clear()

    def add(self, picture: Floats) -> Dissolve | None:
        """The dissolve that was over with ``picture`` ``(h, w)``, if there was one."""
        self._pictures.append(picture)
        pictures = list(self._pictures)
        for length in self._windows:
            if length > len(pictures):
                return None
            since = _frames_since_middle(pictures[-length:])
            if since is not None:
                return Dissolve(pictures[-length], picture, since)
        return None


def _frames_since_middle(pictures: list[Floats]) -> int | None:
    """Frames at the end of ``pictures`` that show more of the last than of the first; None where it is no dissolve."""
    first, last = pictures[0], pictures[-1]
    change = last - first
    energy = float(np.vdot(change, change))
    if energy < _MIN_CHANGE**2 * change.size:
        return None
    ends = max(round(_ENDS * len(pictures)), 2)
    shares = np.array([float(np.vdot(picture - first, change)) for picture in pictures]) / energy
    mixed = np.flatnonzero((shares > _MIXED[0]) & (shares < _MIXED[1]))
    if (
        np.any(shares[:ends] > _PURE)
        or np.any(shares[-ends:] < 1 - _PURE)
        or len(mixed) < _MIN_MIXED
        or np.any(np.diff(shares) < -_MAX_FALL)
    ):
        return None
    missed = [_missed(pictures[index], first, last, shares[index]) for index in mixed]
    return int(np.sum(shares > 0.5)) if float(np.mean(missed)) <= _MAX_MISS else None


def _missed(picture: Floats, first: Floats, last: Floats, share: float) -> float:
    """Energy of ``picture`` that the mixture misses, over what the nearer of ``first`` and ``last`` misses."""
    mixture = first + share * (last - first)
    alone = min(_energy(picture - first), _energy(picture - last))
    return _energy(picture - mixture) / max(alone, 1e-6)


def _energy(difference: npt.NDArray[np.floating]) -> float:
    return float(np.vdot(difference, difference))
