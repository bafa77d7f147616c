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
from vidrestore.video.tone import PQ, hlg_of_pq, pq_of_hlg, shown_levels

Codes = npt.NDArray[Any]
"""Stored samples: uint8, or uint16 for more than 8 bits."""

DisplayMatrix = tuple[int, ...]
"""The nine integers of a display matrix, as FFmpeg has them."""

_ALL_LINES: Final = slice(None)


class StoredPicture:
    """The ``Picture`` of a decoded frame: its planes as stored, addressed as shown after rotation.

    Pictures are shown by their own matrix and range, in the codes that they have (HLG also), except that PQ is shown as
    ``vidrestore.video.tone`` says, and changed accordingly.

    ``rgb()`` is computed when first asked for and kept until ``add`` changes the picture; arrays given out before
    then do not change. Not safe for two threads at once.
    """

    def __init__(
        self,
        stored: VideoFrame,
        *,
        rotation: int = 0,
        color: ColorInfo | None = None,
        lines: slice = _ALL_LINES,
    ) -> None:
        """Wrap the ``lines`` of ``stored``, shown turned by ``rotation`` degrees counter-clockwise (0, 90, 180 or 270).

        The same lines are taken of every plane, as the fields of an interlaced frame are stored.
        """
        layout = find_layout(stored.format.name)
        if layout is None:
            raise ValueError(f"the pixel format {stored.format.name} cannot be edited in place")
        self.stored = stored
        self.rotation = rotation
        self.color = color_of(stored) if color is None else color
        self.layout = layout
        self.matrix = effective_matrix(self.color, stored.height)
        self.color_range = effective_range(layout.name, self.color.full_range)
        self._lines = lines
        self._line_count = len(range(stored.height)[lines])
        self._whole: StoredPicture | None = None
        self._rgb: Image | None = None
        self.first_field: int | None = None
        """Of an interlaced frame, the field that was taken first: 0 is the top one. ``rgb()`` then shows that alone."""

    @property
    def width(self) -> int:
        """Pixels, as shown."""
        return self.stored.width if self.rotation % 180 == 0 else self._line_count

    @property
    def height(self) -> int:
        """Pixels, as shown."""
        return self._line_count if self.rotation % 180 == 0 else self.stored.width

    def field(self, parity: int) -> StoredPicture:
        """Every second line as a picture of half the height: the top field (``parity`` 0) or the bottom field (1).

        It has the same samples: what is added to it is added here.
        """
        field = StoredPicture(self.stored, rotation=self.rotation, color=self.color, lines=slice(parity, None, 2))
        field._whole = self
        return field

    @property
    def display_matrix(self) -> DisplayMatrix | None:
        """How the player turns the stored picture; None where it does not."""
        side = self.side_data("DISPLAYMATRIX")
        return None if side is None else tuple(np.frombuffer(side, np.int32).tolist())

    def side_data(self, name: str) -> bytes | None:
        """What the decoder attached to the frame under FFmpeg's ``name``, such as ``CONTENT_LIGHT_LEVEL``.

        Ask it of few frames: PyAV then keeps the frame in a reference cycle, until Python collects its garbage.
        """
        container: Any = self.stored.side_data
        found = container.get(name)
        return None if found is None else bytes(found)

    def rgb(self) -> Image:
        """The whole picture as shown: read-only RGB uint8 ``(height, width, 3)``."""
        if self._rgb is None:
            upright = np.ascontiguousarray(np.rot90(self._seen(), self.rotation // 90))
            upright.flags.writeable = False
            self._rgb = upright
        return self._rgb

    def add(self, left: int, top: int, difference: Floats) -> None:
        """Add ``difference`` float32 ``(h, w, 3)``, in RGB levels of 0..255, with its corner at ``(left, top)``.

        It is turned into differences of the stored codes by the linear RGB to YUV matrix of the picture, chroma
        averaged over each block of pixels that shares it, rounded, and clipped to the codes that the bit depth
        has. The part outside the picture is ignored.
        """
        self.add_stored(*self.turned_back(left, top, difference))

    def turned_back(self, left: int, top: int, difference: Floats) -> tuple[int, int, Floats]:
        """The part of ``difference`` inside the picture, with its corner, as the picture is before rotation."""
        x0, y0 = max(left, 0), max(top, 0)
        x1 = max(min(left + difference.shape[1], self.width), x0)
        y1 = max(min(top + difference.shape[0], self.height), y0)
        inside = difference[y0 - top : y1 - top, x0 - left : x1 - left]
        x0, y0 = self._stored_corner(x0, y0, x1, y1)
        return x0, y0, np.rot90(inside, -self.rotation // 90)

    def add_stored(self, left: int, top: int, difference: Floats) -> None:
        """``add`` before rotation; ``difference`` lies inside the picture."""
        if difference.size == 0:
            return
        if self.color.transfer == PQ:
            difference = self._change_of_pq(left, top, difference)
        changes = difference @ rgb_to_codes(self.layout, self.matrix, self.color_range).T
        self.stored.make_writable()
        for index, component in enumerate(self.layout.components):
            self._add_codes(component, left, top, changes[..., index])
        self._rgb = None
        if self._whole is not None:
            self._whole._rgb = None

    def codes(self, component: Component) -> Codes:
        """View of one component in the stored frame, ``(rows, columns)`` before rotation."""
        plane = self.stored.planes[component.plane]
        rows = -(-self.stored.height // component.block_height)
        columns = -(-self.stored.width // component.block_width)
        samples: Codes = np.frombuffer(memoryview(plane), self.layout.dtype)
        pitch = plane.line_size // samples.itemsize
        grid = samples[: rows * pitch].reshape(rows, pitch)
        view: Codes = grid[:, component.offset : component.offset + columns * component.step : component.step]
        return view[self._lines]

    def _seen(self) -> Image:
        """RGB before rotation: of all lines, or of an interlaced frame's first field and between its lines."""
        if self.first_field is not None:
            return between_lines(self.field(self.first_field)._seen(), self.first_field, self._line_count)
        return self._part_seen(0, 0, self.stored.width, self._line_count)

    def _part_seen(self, left: int, top: int, width: int, height: int) -> Image:
        """RGB before rotation, of a part of the lines; PQ as it is shown."""
        part = self._copied(left, top, left + width, top + height)
        if part.layout.is_gray:
            image = part._gray_rgb()
        else:
            name = "rgb48le" if self.color.transfer == PQ else "rgb24"
            codes = convert(part.stored, name, self.matrix, self.color_range, FULL).to_ndarray()
            image = np.asarray(shown_levels()[codes] if self.color.transfer == PQ else codes, dtype=np.uint8)
        x, y = left % self._block_width, top % self._block_height
        return image[y : y + height, x : x + width]

    def _copied(self, left: int, top: int, right: int, bottom: int) -> StoredPicture:
        """A copy of whole blocks around a part of the lines, without the chroma location tag.

        libswscale would move chroma by it; some containers lose it, and the same planes would look different.
        """
        left, top = left - left % self._block_width, top - top % self._block_height
        right = min(right + -right % self._block_width, self.stored.width)
        bottom = min(bottom + -bottom % self._block_height, self._line_count)
        part = StoredPicture(VideoFrame(right - left, bottom - top, self.layout.name), color=self.color)
        for component in self.layout.components:
            copy = part.codes(component)
            x, y = left // component.block_width, top // component.block_height
            codes = self.codes(component)[y : y + copy.shape[0], x : x + copy.shape[1]]
            copy[: len(codes)] = codes
            copy[len(codes) :] = codes[-1:]  # the last chroma line of a bottom field may lie beyond the picture
        return part

    @property
    def _block_width(self) -> int:
        return max(component.block_width for component in self.layout.components)

    @property
    def _block_height(self) -> int:
        return max(component.block_height for component in self.layout.components)

    def _gray_rgb(self) -> Image:
        """RGB before rotation, of a picture that has luma alone."""
        top = 2**self.layout.bits - 1
        scale = 2 ** (self.layout.bits - 8)
        black, white = (0, top) if self.color_range == FULL else (16 * scale, 235 * scale)
        signal = np.clip((np.arange(top + 1) - black) / (white - black), 0, 1)
        if self.color.transfer == PQ:
            signal = np.minimum(hlg_of_pq(signal), 1)
        levels = np.rint(255 * signal).astype(np.uint8)
        return np.repeat(levels[self.codes(self.layout.components[0])][..., None], 3, axis=2)

    def _change_of_pq(self, left: int, top: int, difference: Floats) -> Floats:
        """What changes PQ levels of 0..255 so that those shown change by ``difference``; nothing where that is 0."""
        shown = self._part_seen(left, top, difference.shape[1], difference.shape[0])
        return np.asarray(255 * (pq_of_hlg((shown + difference) / 255) - pq_of_hlg(shown / 255)), dtype=np.float32)

    def _stored_corner(self, x0: int, y0: int, x1: int, y1: int) -> tuple[int, int]:
        """Corner, before rotation, of the rectangle that is shown at these half-open bounds."""
        match self.rotation:
            case 90:
                return self.stored.width - y1, x0
            case 180:
                return self.stored.width - x1, self._line_count - y1
            case 270:
                return y0, self._line_count - x1
            case _:
                return x0, y0

    def _add_codes(self, component: Component, left: int, top: int, change: Floats) -> None:
        """Add ``change`` ``(h, w)``, in codes for each pixel, to one component."""
        if component.block_width > 1 or component.block_height > 1:
            change = self._block_means(component, left, top, change)
            left, top = left // component.block_width, top // component.block_height
        region = self.codes(component)[top : top + change.shape[0], left : left + change.shape[1]]
        region[...] = np.clip(np.rint(region + change[: len(region)]), 0, 2**self.layout.bits - 1)

    def _block_means(self, component: Component, left: int, top: int, change: Floats) -> Floats:
        """Mean of ``change`` over each block; pixels of a block outside ``change`` count as unchanged.

        A block that the picture's edge cuts is averaged over the pixels it has.
        """
        wide, high = component.block_width, component.block_height
        bottom, right = top + change.shape[0], left + change.shape[1]
        zeros = ((top % high, -bottom % high), (left % wide, -right % wide))
        sums = np.pad(change, zeros).reshape(-(-bottom // high) - top // high, high, -1, wide).sum(axis=(1, 3))
        rows = _block_sizes(top // high, sums.shape[0], high, self._line_count)
        columns = _block_sizes(left // wide, sums.shape[1], wide, self.stored.width)
        means: Floats = sums / (rows[:, None] * columns)
        return means


def _block_sizes(first: int, count: int, size: int, limit: int) -> Floats:
    """Pixels of each of ``count`` blocks of ``size`` from block ``first`` on, in a picture of ``limit`` pixels."""
    starts = (first + np.arange(count)) * size
    return np.minimum(size, limit - starts).astype(np.float32)


def between_lines(image: Image, parity: int, height: int) -> Image:
    """The field ``image`` ``(h, w, 3)`` in a picture of ``height`` lines; lines between are means of those beside."""
    near = np.arange(height)
    above = np.clip((near - parity) // 2, 0, len(image) - 1)
    below = np.clip((near - parity + 1) // 2, 0, len(image) - 1)
    return np.asarray((image[above].astype(np.uint16) + image[below] + 1) // 2, dtype=np.uint8)


def color_of(frame: VideoFrame) -> ColorInfo:
    """Colour tags of a decoded frame."""
    full_range = {1: False, 2: True}.get(int(frame.color_range))
    return ColorInfo(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), full_range)


def wrap(decoded: VideoFrame) -> StoredPicture:
    """The picture of a frame from a decoder; a format that cannot be edited is converted to the nearest that can."""
    rotation = round(decoded.rotation / 90) * 90 % 360
    color = color_of(decoded)
    name = nearest_editable_format(decoded.format.name)
    if name != decoded.format.name:
        before = effective_range(decoded.format.name, color.full_range)
        after = effective_range(name, color.full_range)
        decoded = convert(decoded, name, effective_matrix(color, decoded.height), before, after)
    return StoredPicture(decoded, rotation=rotation, color=color)


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
    if color.transfer == PQ:
        codes = np.rint(65535 * pq_of_hlg(image / 255)).astype(np.uint16)
        frame = VideoFrame.from_ndarray(codes, format="rgb48le")
    else:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    if pixel_format != frame.format.name:
        target = effective_range(pixel_format, color.full_range)
        matrix = effective_matrix(color, frame.height)
        frame = convert(frame, pixel_format, matrix, FULL, target)
        if color.matrix == _STORED_AS_RGB:
            color = replace(color, matrix=matrix)
    return StoredPicture(frame, color=color)
