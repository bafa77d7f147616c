"""A decoded picture that is edited in its own planes and never goes through RGB where it is not touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from av import VideoFrame

from vidrestore.types import ColorInfo, Floats, Image
from vidrestore.video.layout import (
    FULL,
    Component,
    convert,
    effective_matrix,
    effective_range,
    find_layout,
    nearest_editable_format,
    rgb_to_codes,
)

Codes = npt.NDArray[Any]
"""Stored samples: uint8, or uint16 for more than 8 bits."""

DisplayMatrix = tuple[int, ...]
"""The nine integers of a display matrix, as FFmpeg has them."""


class StoredPicture:
    """The ``Picture`` of a decoded frame: its planes as stored, addressed as shown after rotation.

    ``rgb()`` is computed when first asked for and kept until ``add`` changes the picture; arrays given out before
    then do not change. Not safe for two threads at once.
    """

    def __init__(
        self,
        stored: VideoFrame,
        *,
        rotation: int = 0,
        color: ColorInfo | None = None,
        display_matrix: DisplayMatrix | None = None,
    ) -> None:
        """Wrap ``stored``, shown turned by ``rotation`` degrees counter-clockwise (0, 90, 180 or 270)."""
        layout = find_layout(stored.format.name)
        if layout is None:
            raise ValueError(f"the pixel format {stored.format.name} cannot be edited in place")
        self.stored = stored
        self.rotation = rotation
        self.color = color_of(stored) if color is None else color
        self.display_matrix = display_matrix
        self.layout = layout
        self.matrix = effective_matrix(self.color, stored.height)
        self.color_range = effective_range(layout.name, self.color.full_range)
        self._rgb: Image | None = None

    @property
    def width(self) -> int:
        """Pixels, as shown."""
        return self.stored.width if self.rotation % 180 == 0 else self.stored.height

    @property
    def height(self) -> int:
        """Pixels, as shown."""
        return self.stored.height if self.rotation % 180 == 0 else self.stored.width

    def side_data(self, name: str) -> bytes | None:
        """What the decoder attached to the frame under FFmpeg's ``name``, such as ``CONTENT_LIGHT_LEVEL``."""
        return _side_data(self.stored, name)

    def rgb(self) -> Image:
        """The whole picture as shown: read-only RGB uint8 ``(height, width, 3)``."""
        if self._rgb is None:
            image = self._gray_rgb() if self.layout.is_gray else self._stored_rgb()
            upright = np.ascontiguousarray(np.rot90(image, self.rotation // 90))
            upright.flags.writeable = False
            self._rgb = upright
        return self._rgb

    def add(self, left: int, top: int, difference: Floats) -> None:
        """Add ``difference`` float32 ``(h, w, 3)``, in RGB levels of 0..255, with its corner at ``(left, top)``.

        It is turned into differences of the stored codes by the linear RGB to YUV matrix of the picture, chroma
        averaged over each block of pixels that shares it, rounded, and clipped to the codes that the bit depth
        has. The part outside the picture is ignored.
        """
        x0, y0 = max(left, 0), max(top, 0)
        x1 = min(left + difference.shape[1], self.width)
        y1 = min(top + difference.shape[0], self.height)
        if x1 <= x0 or y1 <= y0:
            return
        inside = difference[y0 - top : y1 - top, x0 - left : x1 - left]
        x0, y0 = self._stored_corner(x0, y0, x1, y1)
        turned = np.rot90(inside, -self.rotation // 90)
        changes = turned @ rgb_to_codes(self.layout, self.matrix, self.color_range).T
        self.stored.make_writable()
        for index, component in enumerate(self.layout.components):
            self._add_codes(component, x0, y0, changes[..., index])
        self._rgb = None

    def codes(self, component: Component) -> Codes:
        """View of one component in the stored frame, ``(rows, columns)`` before rotation."""
        plane = self.stored.planes[component.plane]
        rows = -(-self.stored.height // component.block_height)
        columns = -(-self.stored.width // component.block_width)
        samples: Codes = np.frombuffer(memoryview(plane), self.layout.dtype)
        pitch = plane.line_size // samples.itemsize
        grid = samples[: rows * pitch].reshape(rows, pitch)
        view: Codes = grid[:, component.offset : component.offset + columns * component.step : component.step]
        return view

    def _stored_rgb(self) -> Image:
        """RGB before rotation, from a copy without the chroma location tag.

        libswscale would move chroma by it; some containers lose it, and the same planes would look different.
        """
        untagged = StoredPicture(VideoFrame(self.stored.width, self.stored.height, self.layout.name), color=self.color)
        for component in self.layout.components:
            untagged.codes(component)[...] = self.codes(component)
        image = convert(untagged.stored, "rgb24", self.matrix, self.color_range, FULL).to_ndarray()
        return np.asarray(image, dtype=np.uint8)

    def _gray_rgb(self) -> Image:
        """RGB before rotation, of a picture that has luma alone."""
        top = 2**self.layout.bits - 1
        scale = 2 ** (self.layout.bits - 8)
        black, white = (0, top) if self.color_range == FULL else (16 * scale, 235 * scale)
        levels = np.clip(np.rint((np.arange(top + 1) - black) * (255 / (white - black))), 0, 255).astype(np.uint8)
        return np.repeat(levels[self.codes(self.layout.components[0])][..., None], 3, axis=2)

    def _stored_corner(self, x0: int, y0: int, x1: int, y1: int) -> tuple[int, int]:
        """Corner, before rotation, of the rectangle that is shown at these half-open bounds."""
        match self.rotation:
            case 90:
                return self.stored.width - y1, x0
            case 180:
                return self.stored.width - x1, self.stored.height - y1
            case 270:
                return y0, self.stored.height - x1
            case _:
                return x0, y0

    def _add_codes(self, component: Component, left: int, top: int, change: Floats) -> None:
        """Add ``change`` ``(h, w)``, in codes for each pixel, to one component."""
        if component.block_width > 1 or component.block_height > 1:
            change = self._block_means(component, left, top, change)
            left, top = left // component.block_width, top // component.block_height
        region = self.codes(component)[top : top + change.shape[0], left : left + change.shape[1]]
        region[...] = np.clip(np.rint(region + change), 0, 2**self.layout.bits - 1)

    def _block_means(self, component: Component, left: int, top: int, change: Floats) -> Floats:
        """Mean of ``change`` over each block; pixels of a block outside ``change`` count as unchanged.

        A block that the picture's edge cuts is averaged over the pixels it has.
        """
        wide, high = component.block_width, component.block_height
        bottom, right = top + change.shape[0], left + change.shape[1]
        zeros = ((top % high, -bottom % high), (left % wide, -right % wide))
        sums = np.pad(change, zeros).reshape(-(-bottom // high) - top // high, high, -1, wide).sum(axis=(1, 3))
        rows = _block_sizes(top // high, sums.shape[0], high, self.stored.height)
        columns = _block_sizes(left // wide, sums.shape[1], wide, self.stored.width)
        means: Floats = sums / (rows[:, None] * columns)
        return means


def _block_sizes(first: int, count: int, size: int, limit: int) -> Floats:
    """Pixels of each of ``count`` blocks of ``size`` from block ``first`` on, in a picture of ``limit`` pixels."""
    starts = (first + np.arange(count)) * size
    return np.minimum(size, limit - starts).astype(np.float32)


def color_of(frame: VideoFrame) -> ColorInfo:
    """Colour tags of a decoded frame."""
    full_range = {1: False, 2: True}.get(int(frame.color_range))
    return ColorInfo(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), full_range)


def _side_data(frame: VideoFrame, name: str) -> bytes | None:
    container: Any = frame.side_data
    found = container.get(name)
    return None if found is None else bytes(found)


def wrap(decoded: VideoFrame) -> StoredPicture:
    """The picture of a frame from a decoder; a format that cannot be edited is converted to the nearest that can."""
    side = _side_data(decoded, "DISPLAYMATRIX")
    display_matrix = None if side is None else tuple(np.frombuffer(side, np.int32).tolist())
    rotation = round(decoded.rotation / 90) * 90 % 360
    color = color_of(decoded)
    name = nearest_editable_format(decoded.format.name)
    if name != decoded.format.name:
        before = effective_range(decoded.format.name, color.full_range)
        after = effective_range(name, color.full_range)
        decoded = convert(decoded, name, effective_matrix(color, decoded.height), before, after)
    return StoredPicture(decoded, rotation=rotation, color=color, display_matrix=display_matrix)


_STORED_AS_RGB: Final = 0
"""The H.273 matrix of pictures that are stored as RGB; no tag for one that was converted to YUV."""


def picture_from_rgb(image: Image, *, pixel_format: str = "yuv420p", color: ColorInfo | None = None) -> StoredPicture:
    """A picture made from RGB uint8 ``(H, W, 3)``.

    Args:
        image: The picture, as shown.
        pixel_format: FFmpeg's name of the format to store it in; ValueError where it cannot be edited in place.
        color: Tags that decide matrix and range, as in a decoded picture.

    """
    color = ColorInfo() if color is None else color
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    if pixel_format != "rgb24":
        target = effective_range(pixel_format, color.full_range)
        matrix = effective_matrix(color, frame.height)
        frame = convert(frame, pixel_format, matrix, FULL, target)
        if color.matrix == _STORED_AS_RGB:
            color = replace(color, matrix=matrix)
    return StoredPicture(frame, color=color)
