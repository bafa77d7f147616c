"""Measure a restored video against the truth, with fixed definitions.

Figures are means over face regions: the pixels of a face's box in one frame, RGB, levels 0..255. A truth of another
size than the videos is scaled to theirs by averaging areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidrestore.errors import VideoError
from vidrestore.types import Analysis, Floats, Image
from vidrestore.video import read_frames

_SMALLEST_SIDE = 8
"""Boxes with less than this many pixels on a side inside the picture are not measured."""


def psnr(picture: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB: ``10 log10(255^2 / mean squared error)``; 100 where both are equal."""
    error = float(np.mean((picture.astype(np.float64) - truth) ** 2))
    return 100.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


@dataclass(frozen=True, slots=True)
class FaceGain:
    """How much nearer to the truth the faces of a video came."""

    faces: int
    """Face regions measured."""
    psnr_before: float
    """Mean over face regions, dB, of the input."""
    psnr_after: float
    """The same of the output."""
    improved: float
    """Share 0..1 of face regions whose PSNR rose."""

    @property
    def gain(self) -> float:
        """dB."""
        return self.psnr_after - self.psnr_before


def face_gain(truth: Path, source: Path, output: Path, analysis: Analysis) -> dict[str, FaceGain]:
    """Compare ``output`` with its input ``source`` against ``truth``, frame by frame, in the faces of ``analysis``.

    Returns the figures of each identity by name, and of all faces under ``all``.

    Raises:
        VideoError: the three do not have the same number of frames.
    """
    owners = {i: identity.name for identity in analysis.identities for i in identity.track_ids}
    boxes: dict[int, list[tuple[str, Floats]]] = {}
    for track in analysis.tracks:
        for pts, box in zip(track.pts.tolist(), track.boxes, strict=True):
            boxes.setdefault(pts, []).append((owners.get(track.id, "unassigned"), box))
    rows: dict[str, list[tuple[float, float]]] = {}
    try:
        for true, before, after in zip(read_frames(truth), read_frames(source), read_frames(output), strict=True):
            if not boxes.get(before.pts):
                continue
            wanted = _scaled(true.image, before.picture.width, before.picture.height)
            for name, box in boxes[before.pts]:
                region = _region(box, wanted)
                if region is not None:
                    pair = (psnr(before.image[region], wanted[region]), psnr(after.image[region], wanted[region]))
                    rows.setdefault(name, []).append(pair)
    except ValueError as error:
        raise VideoError(f"{truth}, {source} and {output} differ in their number of frames") from error
    figures = {name: _mean(pairs) for name, pairs in rows.items()}
    return figures | {"all": _mean([pair for pairs in rows.values() for pair in pairs])}


def _mean(pairs: Sequence[tuple[float, float]]) -> FaceGain:
    if not pairs:
        return FaceGain(0, 0.0, 0.0, 0.0)
    before, after = np.array(pairs).T
    return FaceGain(len(pairs), float(before.mean()), float(after.mean()), float((after > before).mean()))


def _scaled(image: Image, width: int, height: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _region(box: Floats, image: Image) -> tuple[slice, slice] | None:
    """The pixels of ``box`` inside ``image``, or None where too few are."""
    x0, y0 = np.maximum(np.floor(box[:2]).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(box[2:]).astype(int), image.shape[1::-1])
    if x1 - x0 < _SMALLEST_SIDE or y1 - y0 < _SMALLEST_SIDE:
        return None
    return slice(y0, y1), slice(x0, x1)
