"""Pixel formats: where each component of a pixel is stored, and what its codes mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from av import VideoFrame
from av.codec.codec import find_best_pix_fmt_of_list
from av.video.format import VideoFormat
from av.video.reformatter import Interpolation

from vidrestore.types import ColorInfo, Floats

BT709, SMPTE170M = 1, 6
LIMITED, FULL = 1, 2
"""Colour range as FFmpeg numbers it (0 is unspecified)."""

_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""Weights of red and blue in luma, for each matrix of ITU-T H.273 table 4."""

_PACKED: dict[str, tuple[tuple[int, int, int], ...]] = {
    "nv12": ((0, 0, 1), (1, 0, 2), (1, 1, 2)),
    "nv16": ((0, 0, 1), (1, 0, 2), (1, 1, 2)),
    "nv21": ((0, 0, 1), (1, 1, 2), (1, 0, 2)),
    "rgb24": ((0, 0, 3), (0, 1, 3), (0, 2, 3)),
    "bgr24": ((0, 2, 3), (0, 1, 3), (0, 0, 3)),
    "rgba": ((0, 0, 4), (0, 1, 4), (0, 2, 4)),
    "rgb0": ((0, 0, 4), (0, 1, 4), (0, 2, 4)),
    "bgra": ((0, 2, 4), (0, 1, 4), (0, 0, 4)),
    "bgr0": ((0, 2, 4), (0, 1, 4), (0, 0, 4)),
    "argb": ((0, 1, 4), (0, 2, 4), (0, 3, 4)),
    "0rgb": ((0, 1, 4), (0, 2, 4), (0, 3, 4)),
    "abgr": ((0, 3, 4), (0, 2, 4), (0, 1, 4)),
    "0bgr": ((0, 3, 4), (0, 2, 4), (0, 1, 4)),
    "rgb48le": ((0, 0, 3), (0, 1, 3), (0, 2, 3)),
    "rgba64le": ((0, 0, 4), (0, 1, 4), (0, 2, 4)),
}
"""Formats with several components in a plane: plane, offset and step of each component, in samples."""

_FALLBACKS = (
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv444p12le",
    "gray",
    "gray12le",
    "rgb24",
    "rgba",
    "rgb48le",
)
"""What a picture in a format without a layout is converted to, whichever loses least."""


@dataclass(frozen=True, slots=True)
class Component:
    """One of Y, U, V or R, G, B: every ``step``-th sample of ``plane`` from ``offset``; one for a block of pixels."""

    plane: int
    offset: int
    step: int
    block_width: int
    block_height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a pixel format stores its colour; alpha is left out, as nothing here changes it."""

    name: str
    bits: int
    is_rgb: bool
    components: tuple[Component, ...]
    """One (grey) or three: Y U V or R G B."""

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def is_gray(self) -> bool:
        return len(self.components) == 1


@lru_cache
def find_layout(name: str) -> Layout | None:
    """Layout of the pixel format ``name``, or None where its planes cannot be edited in place."""
    pixel_format = VideoFormat(name, 64, 64)
    parts = [part for part in pixel_format.components if not part.is_alpha]
    bits = parts[0].bits if parts else 0
    if any(part.bits != bits for part in parts) or not 8 <= bits <= 16 or pixel_format.has_palette:
        return None
    if (pixel_format.is_big_endian and bits > 8) or "f16" in name or name.endswith("msble"):
        return None
    places = _PACKED.get(name)
    if places is None:
        if len({part.plane for part in pixel_format.components}) < len(pixel_format.components):
            return None
        places = tuple((part.plane, 0, 1) for part in parts)
    components = tuple(
        Component(*place, 64 // part.width, 64 // part.height) for place, part in zip(places, parts, strict=True)
    )
    return Layout(name, bits, pixel_format.is_rgb, components)


def nearest_editable_format(name: str) -> str:
    """The pixel format with a layout that keeps most of the pixel format ``name``."""
    if find_layout(name) is not None:
        return name
    best, _ = find_best_pix_fmt_of_list(_FALLBACKS, name, has_alpha=True)
    return best.name if best is not None else "rgb24"


def effective_matrix(color: ColorInfo, height: int) -> int:
    """The H.273 matrix to convert with: the tag, else BT.709 from 720 lines on and SMPTE 170M below."""
    if color.matrix in _LUMA_WEIGHTS:
        return 9 if color.matrix == 10 else color.matrix
    return BT709 if height >= 720 else SMPTE170M


def effective_range(name: str, full_range: bool | None) -> int:
    """The range to convert with: yuvj and RGB are full; otherwise the tag, else full for grey and limited for YUV."""
    if name.startswith("yuvj") or VideoFormat(name).is_rgb:
        return FULL
    if full_range is None:
        return FULL if name.startswith("gray") else LIMITED
    return FULL if full_range else LIMITED


@lru_cache
def rgb_to_codes(layout: Layout, matrix: int, color_range: int) -> Floats:
    """Linear part of RGB (levels of 0..255) to stored codes: ``(components, 3)``, read-only."""
    top = 2**layout.bits - 1
    if layout.is_rgb:
        rows = np.eye(3) * (top / 255)
    else:
        red, blue = _LUMA_WEIGHTS[matrix]
        luma = np.array([red, 1 - red - blue, blue])
        chroma_blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
        chroma_red = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
        scale = 2 ** (layout.bits - 8)
        luma_scale, chroma_scale = (top, top) if color_range == FULL else (219 * scale, 224 * scale)
        rows = np.stack([luma * luma_scale, chroma_blue * chroma_scale, chroma_red * chroma_scale]) / 255
    matrix_rows: Floats = rows[: len(layout.components)].astype(np.float32)
    matrix_rows.flags.writeable = False
    return matrix_rows


_ACCURATE = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
"""Without these flags libswscale's shortcuts are wrong by up to 4 levels."""


def convert(frame: VideoFrame, name: str, matrix: int, source_range: int, target_range: int) -> VideoFrame:
    """``frame`` in the pixel format ``name``, by one matrix on both sides; pts and time base are kept.

    Where every pixel gets its own chroma, that of its block is repeated: the inverse of averaging a block, which is
    what happens otherwise.
    """
    layout = find_layout(name)
    full_chroma = layout is not None and all(part.block_width == 1 for part in layout.components)
    scaling = Interpolation.POINT if full_chroma else Interpolation.BILINEAR
    return frame.reformat(
        format=name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=source_range,
        dst_color_range=target_range,
        interpolation=int(scaling | _ACCURATE),
    )
