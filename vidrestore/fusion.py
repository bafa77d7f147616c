"""Temporal fusion: a face is averaged with itself in neighbouring frames before it is restored.

Noise and compression differ from frame to frame; the face does not. Its neighbours are brought onto it by dense optical
flow (DIS, Kroeger et al. 2016, arXiv 1603.03590) and averaged where they agree with it, which leaves the restorer less
to guess, and the same to guess in every frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidrestore.errors import ConfigError
from vidrestore.geometry import box_of
from vidrestore.types import Floats, Frame, Image, Timeline

_MOST_NEIGHBOURS = 3
"""On either side, at any frame rate: more cost time and bring little."""
_MARGIN = 0.35
"""What is fused around the landmarks' box, in its sides: forehead and hair."""
_SMALLEST_SIDE = 24
"""Smaller regions give optical flow too little to hold on to."""
_LARGEST_SIDE = 256
"""Larger regions are fused this small; noise finer than that is averaged away by the crop's own shrinking."""
_AGREEMENT_BLUR = 1.5
"""Pixels over which agreement is judged, so that single noisy pixels do not decide."""


@dataclass(frozen=True, kw_only=True)
class FusionSettings:
    """How a face learns from its neighbouring frames."""

    reach_seconds: float = 0.14
    """Frames up to this far before and after, at most three on each side; 0 restores every frame alone."""
    agreement_levels: float = 10.0
    """Difference in levels of 0..255 at which a neighbour counts little more than a third."""

    def __post_init__(self) -> None:
        if not 0 <= self.reach_seconds <= 2:
            raise ConfigError(f"fusion.reach_seconds is {self.reach_seconds}, allowed: 0 to 2")
        if not self.agreement_levels > 0:
            raise ConfigError(f"fusion.agreement_levels is {self.agreement_levels}, allowed: more than 0")


ALONE = FusionSettings(reach_seconds=0.0)
"""Every frame by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A frame, and its picture as decoded; None where it shows no face."""

    frame: Frame
    image: Image | None


def with_neighbours(
    frames: Iterable[Frame], timeline: Timeline, settings: FusionSettings
) -> Iterator[tuple[Moment, list[Moment]]]:
    """Each frame, in order, with the moments around it, before anything is pasted into them.

    At most ``2 * 3 + 1`` frames are held.
    """
    window: deque[Moment] = deque()
    centre = 0
    for frame in frames:
        moment = Moment(frame, frame.image if timeline.at(frame.pts) else None)
        if settings.reach_seconds == 0:
            yield moment, []
            continue
        window.append(moment)
        while len(window) - centre > _MOST_NEIGHBOURS or not _near(window[centre], window[-1], settings):
            yield _neighbourhood(window, centre, settings)
            centre += 1
        while centre > _MOST_NEIGHBOURS:
            window.popleft()
            centre -= 1
    while centre < len(window):
        yield _neighbourhood(window, centre, settings)
        centre += 1


def _neighbourhood(window: deque[Moment], centre: int, settings: FusionSettings) -> tuple[Moment, list[Moment]]:
    moment = window[centre]
    first = max(0, centre - _MOST_NEIGHBOURS)
    around = [window[i] for i in range(first, min(len(window), centre + _MOST_NEIGHBOURS + 1)) if i != centre]
    return moment, [other for other in around if _near(moment, other, settings)]


def _near(a: Moment, b: Moment, settings: FusionSettings) -> bool:
    return abs(a.frame.seconds - b.frame.seconds) <= settings.reach_seconds + 1e-9


def fuse(image: Image, landmarks: Floats, others: Sequence[tuple[Image, Floats]], levels: float) -> Image:
    """``image`` (H, W, 3) with the face at ``landmarks`` (68, 2) averaged with the same face in ``others``.

    Args:
        image: the frame's picture.
        landmarks: where the face is in it.
        others: pictures of the same size, each with the face's landmarks in it.
        levels: difference at which a neighbour's weight is 1/e of the frame's own.
    """
    left, top, right, bottom = _region(landmarks, image)
    if not others or min(right - left, bottom - top) < _SMALLEST_SIDE:
        return image
    whole = image[top:bottom, left:right]
    base = _shrunk(whole)
    total = base.astype(np.float32)
    weights = np.ones((*base.shape[:2], 1), dtype=np.float32)
    for other, points in others:
        step = np.rint((points - landmarks).mean(axis=0))
        near = _cut(other, left + float(step[0]), top + float(step[1]), whole.shape[1::-1])
        moved = _brought_onto(base, _shrunk(near))
        apart = cv2.GaussianBlur(np.abs(moved - base).mean(axis=2), (0, 0), _AGREEMENT_BLUR)
        share = np.exp(-((apart / levels) ** 2))[:, :, None]
        total += share * moved
        weights += share
    change = cv2.resize(total / weights - base, whole.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    fused = image.copy()
    fused[top:bottom, left:right] = np.clip(np.rint(whole + change), 0, 255).astype(np.uint8)
    return fused


def _region(landmarks: Floats, image: Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is fused, inside the picture."""
    box = box_of(landmarks)
    margin = _MARGIN * (box[2:] - box[:2])
    (x0, y0), (x1, y1) = box[:2] - margin, box[2:] + margin
    height, width = image.shape[:2]
    return max(int(x0), 0), max(int(y0), 0), min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)


def _shrunk(image: Image) -> Image:
    """``image``, at most ``_LARGEST_SIDE`` pixels on a side, by averaging areas."""
    height, width = image.shape[:2]
    scale = _LARGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _cut(image: Image, left: float, top: float, size: tuple[int, ...]) -> Image:
    """The part of ``image`` with its corner at whole pixels ``(left, top)``, ``size`` (w, h); edges are repeated."""
    matrix = np.array([[1, 0, -left], [0, 1, -top]], dtype=np.float32)
    part = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, dtype=np.uint8)


def _brought_onto(base: Image, other: Image) -> Floats:
    """``other`` moved so that it fits ``base``, both (h, w, 3); float32 levels."""
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (base, other)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(greys[0], greys[1], None)  # type: ignore[call-overload]
    y, x = np.mgrid[: base.shape[0], : base.shape[1]].astype(np.float32)
    moved = cv2.remap(other, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)
