"""Pictures of another size or pixel format than those before them, made to fit in their place."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from av import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from vidrestore.video.layout import FULL
from vidrestore.video.picture import StoredPicture, wrap
from vidrestore.video.probe import fraction

_FULL_SHARE = 0.98
"""A picture that fills this much of the width or height is stretched to all of it: a thin border helps nobody."""


class Shape(NamedTuple):
    """How a picture is stored, before rotation."""

    width: int
    height: int
    pixel_format: str

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixel_format}"


class Fitting:
    """Gives every picture of a stream the size and pixel format of the first."""

    def __init__(self, stream: VideoStream) -> None:
        """For the pictures that are decoded from ``stream``, in order of presentation."""
        self.converted: str | None = None
        """Pixel formats from and to, where the stored one cannot be edited."""
        self.changes: list[str] = []
        """A sentence for each time that the pictures become unlike the first."""
        self._stream = stream
        self._first: StoredPicture | None = None
        self._aspect = fraction(stream.sample_aspect_ratio) or Fraction(1)
        self._last: Shape | None = None

    def fit(self, decoded: VideoFrame, seconds: float) -> StoredPicture:
        """The picture that is shown at ``seconds``, refitted where it is unlike the first."""
        picture = wrap(decoded)
        if picture.layout.name != decoded.format.name:
            self.converted = f"{decoded.format.name} to {picture.layout.name}"
        if self._first is None:
            self._first = picture
        shape, wanted, before = _shape(picture), _shape(self._first), self._last
        self._last = shape
        if shape == wanted:
            return picture
        if shape != before:
            self.changes.append(
                f"from {seconds:.3f} s on the picture is {shape} in the file; it was made to fit {wanted}, the first"
            )
        aspect = fraction(self._stream.codec_context.sample_aspect_ratio) or Fraction(1)
        return refitted(picture, aspect, self._first, self._aspect)


def _shape(picture: StoredPicture) -> Shape:
    return Shape(picture.stored.width, picture.stored.height, picture.layout.name)


def refitted(picture: StoredPicture, aspect: Fraction, like: StoredPicture, like_aspect: Fraction) -> StoredPicture:
    """``picture`` in the size, pixel format and colour of ``like``, as large as it fits, on black.

    It keeps its shape as it is shown: ``aspect`` and ``like_aspect`` are the sample aspect ratios of the two.
    """
    width, height = like.stored.width, like.stored.height
    shown = picture.stored.width * aspect / picture.stored.height / like_aspect
    inner_width = _filled(float(height * shown), width)
    inner_height = _filled(float(width / shown), height)
    scaled = StoredPicture(
        picture.stored.reformat(
            inner_width,
            inner_height,
            like.layout.name,
            src_colorspace=picture.matrix,
            dst_colorspace=like.matrix,
            src_color_range=picture.color_range,
            dst_color_range=like.color_range,
            interpolation=int(Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND),
        ),
        color=like.color,
    )
    placed = _black(like)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    for component in placed.layout.components:
        inner = scaled.codes(component)
        x, y = left // component.block_width, top // component.block_height
        target = placed.codes(component)[y : y + inner.shape[0], x : x + inner.shape[1]]
        target[...] = inner[: target.shape[0], : target.shape[1]]
    return placed


def _filled(pixels: float, limit: int) -> int:
    """``pixels`` as an even number up to ``limit``; all of it where that is nearly so."""
    return limit if pixels >= _FULL_SHARE * limit else max(round(pixels / 2) * 2, 2)


def _black(like: StoredPicture) -> StoredPicture:
    frame = VideoFrame(like.stored.width, like.stored.height, like.layout.name)
    frame.time_base, frame.pts = like.stored.time_base, like.stored.pts
    black = StoredPicture(frame, rotation=like.rotation, color=like.color)
    scale = 2 ** (like.layout.bits - 8)
    lowest = 0 if like.layout.is_rgb or like.color_range == FULL else 16 * scale
    colourless = 0 if like.layout.is_rgb else 128 * scale
    for number, component in enumerate(black.layout.components):
        black.codes(component)[...] = lowest if number == 0 else colourless
    return black
