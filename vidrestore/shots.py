"""Shots, found as the frames come: no track crosses a cut or the middle of a dissolve.

A new frame belongs to the shot if it can be built from the frame before it. Both are made small; each block of the new
one is looked for near its place in the old one by normalised correlation, and the mean correlation, weighted by the
contrast of the blocks, says how much of the picture is explained. Motion within the search range is explained, grain is
gone at that size, and flicker, exposure steps and fades change gain and offset only, which correlation does not see.

Where every frame explains the next one and yet the pictures before and after do not, the shot may have dissolved into
another: :mod:`vidrestore.dissolves` tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import cv2
import numpy as np

from vidrestore.dissolves import DissolveFinder
from vidrestore.errors import ConfigError
from vidrestore.types import Floats, Image

_WIDTH: Final = 96
_MIN_HEIGHT: Final = 24
_BLOCK: Final = 16
_STEP: Final = 8
_REACH: Final = 8
"""Pixels of the small picture that a block may have moved between two frames: a twelfth of the width."""
_MIN_CONTRAST: Final = 2.0
_FULL_CONTRAST: Final = 20.0
"""Standard deviation in grey levels below which a block says nothing, and above which it counts in full."""
_MIN_BLOCKS: Final = 0.1
"""Share of the blocks that must show something, or the frame cannot be judged."""


@dataclass(frozen=True, kw_only=True)
class ShotSettings:
    """How different two frames must be to lie in two shots."""

    min_explained: float = 0.75
    """Share of the picture's structure, 0..1, that the frame before must explain, or the frame starts a shot. Where
    the recent frames explain each other badly themselves (strong grain, time lapse) less is asked in proportion."""
    memory_frames: int = 25
    """Frames over which "recent" is taken, at least 3."""
    flash_frames: int = 2
    """A picture that comes back after at most so many frames does not start another shot; 0 switches this off."""
    dissolve_frames: int = 60
    """Longest dissolve that is looked for; 0 switches this off."""

    def __post_init__(self) -> None:
        if not 0 < self.min_explained < 1:
            raise ConfigError(f"shots.min_explained is {self.min_explained}, allowed: between 0 and 1")
        if self.memory_frames < 3:
            raise ConfigError(f"shots.memory_frames is {self.memory_frames}, allowed: 3 or more")
        if self.flash_frames < 0:
            raise ConfigError(f"shots.flash_frames is {self.flash_frames}, allowed: 0 or more")
        if self.dissolve_frames < 0:
            raise ConfigError(f"shots.dissolve_frames is {self.dissolve_frames}, allowed: 0 or more")


class CutFinder:
    """Tells, frame by frame, where a new shot begins.

    Memory is constant: the small pictures of the longest dissolve, another from before the last cut, and a few numbers.
    What holds:

    * a frame without structure (black, white, a full flash) is never a cut; the next frame that shows something is
      compared with the last one that did, so a cut through black is found where the picture comes back;
    * a burst of other pictures of at most ``flash_frames`` frames is one cut, at its start, and none at its end;
    * a dissolve is no cut, because each of its frames explains the next one; when it is over, the new shot is said to
      have begun in its middle;
    * a fade out and in again is no cut, and one into another picture is a cut through black;
    * a change of the frame's aspect is a cut, because coordinates change their meaning.
    """

    def __init__(self, settings: ShotSettings | None = None) -> None:
        self._settings = settings or ShotSettings()
        self._last: Floats | None = None
        self._before_cut: Floats | None = None
        self._frames_since_cut = 0
        self._recent: deque[float] = deque(maxlen=self._settings.memory_frames)
        self._dissolves = DissolveFinder(self._settings.dissolve_frames)

    def frames_in_new_shot(self, image: Image) -> int:
        """How many frames, up to and with ``image`` ``(H, W, 3)``, are of a shot that is new; 0 where none is.

        1 is a cut right before ``image``, more are the frames since the middle of a dissolve. 0 for the very first
        frame.
        """
        picture = _shrink(image)
        if self._is_cut(picture):
            self._dissolves.forget()
            self._dissolves.add(picture)
            return 1
        dissolve = self._dissolves.add(picture)
        if dissolve is None or self._explains(dissolve.before, dissolve.after):
            return 0
        self._begin_shot(None, picture)
        self._dissolves.forget()
        return dissolve.frames

    def _is_cut(self, picture: Floats) -> bool:
        """Whether ``picture`` ``(h, w)`` is the first of a new shot, by the picture before it."""
        last = self._last
        self._frames_since_cut += 1
        if last is not None and last.shape != picture.shape:
            self._begin_shot(None, picture)
            return True
        if not _has_structure(picture):
            return False
        if last is None or self._follows(last, picture):
            self._last = picture
            return False
        returned = (
            self._before_cut is not None
            and self._frames_since_cut <= self._settings.flash_frames
            and self._follows(self._before_cut, picture)
        )
        if returned:
            self._last, self._before_cut = picture, None
            return False
        self._begin_shot(last, picture)
        return True

    def _begin_shot(self, before: Floats | None, picture: Floats) -> None:
        self._before_cut, self._last = before, picture
        self._frames_since_cut = 0
        self._recent.clear()

    def _follows(self, old: Floats, new: Floats) -> bool:
        """Whether ``old`` explains enough of the next picture ``new``; remembers how much it explains where it does."""
        usual = float(np.median(self._recent)) if len(self._recent) >= 3 else 1.0
        explained = _explained_best(old, new, self._settings.min_explained * usual)
        if explained < self._settings.min_explained * usual:
            return False
        self._recent.append(explained)
        return True

    def _explains(self, old: Floats, new: Floats) -> bool:
        """Whether two pictures some way apart are of one shot all the same, or one of them shows nothing."""
        if not (_has_structure(old) and _has_structure(new)):
            return True
        return _explained_best(old, new, self._settings.min_explained) >= self._settings.min_explained


def _explained_best(old: Floats, new: Floats, needed: float) -> float:
    """How much ``old`` explains of ``new``, by a swing of the camera where it is less than ``needed`` without."""
    explained = _explained(old, new)
    return explained if explained >= needed else max(explained, _explained_after_pan(old, new))


def _shrink(image: Image) -> Floats:
    """Grey picture ``_WIDTH`` pixels wide, softened so that grain is gone."""
    height, width = image.shape[:2]
    size = (_WIDTH, max(_MIN_HEIGHT, round(height * _WIDTH / width)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8), dtype=np.float32)


def _corners(picture: Floats) -> Iterator[tuple[int, int]]:
    height, width = picture.shape
    return product(range(0, height - _BLOCK + 1, _STEP), range(0, width - _BLOCK + 1, _STEP))


def _has_structure(picture: Floats) -> bool:
    contrasts = [picture[y : y + _BLOCK, x : x + _BLOCK].std() for y, x in _corners(picture)]
    return float(np.mean(np.array(contrasts) > _MIN_CONTRAST)) >= _MIN_BLOCKS


def _explained(old: Floats, new: Floats) -> float:
    """Mean correlation (-1..1) of the blocks of ``new`` with the best match in ``old`` within reach.

    1.0 where ``new`` has no block with contrast.
    """
    padded = cv2.copyMakeBorder(old, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REFLECT)
    span = _BLOCK + 2 * _REACH
    total = weights = 0.0
    for y, x in _corners(new):
        block = new[y : y + _BLOCK, x : x + _BLOCK]
        contrast = float(block.std())
        if contrast <= _MIN_CONTRAST:
            continue
        matches = cv2.matchTemplate(padded[y : y + span, x : x + span], block, cv2.TM_CCOEFF_NORMED)
        weight = min(contrast, _FULL_CONTRAST)
        total += weight * float(matches.max())
        weights += weight
    return total / weights if weights else 1.0


def _explained_after_pan(old: Floats, new: Floats) -> float:
    """``_explained`` where the camera has swung further than the reach, over the part that both pictures show.

    The middle half of ``new`` is looked for in all of ``old``, so swings up to a quarter of the picture are followed.
    """
    height, width = new.shape
    top, left = height // 4, width // 4
    middle = new[top : top + height // 2, left : left + width // 2]
    if float(middle.std()) <= _MIN_CONTRAST:
        return -1.0
    _, _, _, (found_x, found_y) = cv2.minMaxLoc(cv2.matchTemplate(old, middle, cv2.TM_CCOEFF_NORMED))
    down, right = found_y - top, found_x - left
    rows = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
    moved = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    return _explained(np.ascontiguousarray(old[moved]), np.ascontiguousarray(new[rows]))
