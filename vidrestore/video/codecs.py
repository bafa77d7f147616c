"""Encoders: which pixel formats and containers they take, and what quality and speed mean to each."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import av
from av.codec.codec import Codec, find_best_pix_fmt_of_list
from av.video.format import VideoFormat

from vidrestore.errors import ConfigError, VideoError
from vidrestore.video.layout import find_layout

CONTAINERS: Mapping[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""File name extensions that can be written, and FFmpeg's muxer for each."""

CODECS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1")

_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
_SVT_FASTEST, _VPX_FASTEST = 12, 8
_EVEN_ONLY = frozenset({"libx264", "libx265", "libsvtav1", "prores_ks"})
"""Encoders that want the picture to be a whole number of chroma blocks."""


def check_codec(destination: Path, codec: str, preset: str) -> None:
    """Check names, and that the container of ``destination`` can hold the codec.

    Raises:
        ConfigError: an unknown codec or preset, or a codec that this FFmpeg lacks.
        VideoError: an unknown extension, or a container that cannot hold the codec.

    """
    extension = destination.suffix.lower()
    if extension not in CONTAINERS:
        known = ", ".join(CONTAINERS)
        raise VideoError(f"{destination} has the extension {extension or '(none)'}; choose one of {known}")
    if codec not in CODECS:
        raise ConfigError(f"encoding.codec is {codec!r}, allowed: {', '.join(CODECS)}")
    if preset not in _PRESETS:
        raise ConfigError(f"encoding.preset is {preset!r}, allowed: {', '.join(_PRESETS)}")
    try:
        name = Codec(codec, "w").canonical_name
    except ValueError as error:
        raise ConfigError(f"the codec {codec} is missing from the installed PyAV {av.__version__}") from error
    if name in supported_codecs(extension) and (codec, CONTAINERS[extension]) != ("ffv1", "mp4"):
        return
    hint = ".mkv holds every codec"
    if codec in {"libsvtav1", "libvpx-vp9"} and extension != ".webm":
        hint += " and .webm this one"
    raise VideoError(
        f"a {extension} file cannot hold {codec} video; name the output {destination.stem}.mkv ({hint}), "
        "or choose another --codec"
    )


def encoder_opens(codec: str) -> bool:
    """Whether the installed PyAV has the encoder ``codec``."""
    try:
        Codec(codec, "w")
    except ValueError:
        return False
    return True


def supported_codecs(extension: str) -> frozenset[str]:
    """Names of the codecs that the container of this extension can hold."""
    with av.open(os.devnull, "w", format=CONTAINERS[extension]) as container:
        return frozenset(container.supported_codecs)


def choose_pixel_format(codec: str, name: str, width: int, height: int) -> str:
    """The pixel format nearest to ``name`` that ``codec`` can encode at this size.

    Raises:
        VideoError: the encoder has no format for an odd width or height.

    """
    formats = [item.name for item in Codec(codec, "w").video_formats or ()]
    fitting = [item for item in formats if find_layout(item) and _fits(codec, item, width, height)]
    if not fitting:
        raise VideoError(f"{codec} cannot encode the odd size {width}x{height}; use libx264, libx265 or libvpx-vp9")
    plain = name.replace("yuvj", "yuv")
    for same in (name, plain):
        if same in fitting:
            return same
    best, _ = find_best_pix_fmt_of_list(fitting, plain)
    return best.name if best is not None else fitting[0]


def _fits(codec: str, name: str, width: int, height: int) -> bool:
    if codec not in _EVEN_ONLY:
        return True
    pixel_format = VideoFormat(name, 64, 64)
    chroma = [part for part in pixel_format.components if part.is_chroma]
    return all(width % (64 // part.width) == 0 and height % (64 // part.height) == 0 for part in chroma)


def encoder_options(codec: str, crf: int, preset: str, pixel_format: str) -> dict[str, str]:
    """FFmpeg's options for a codec.

    ``crf`` is x264's scale, 0..51, stretched to 0..63 for AV1 and VP9; ``preset`` is x264's name, mapped to the same
    place in the other encoders' ranges. ProRes takes its quality from its profile, FFV1 is lossless: both take
    neither.
    """
    slowness = _PRESETS.index(preset) / (len(_PRESETS) - 1)
    crf_of_63 = str(round(crf * 63 / 51))
    match codec:
        case "libx264":
            return {"crf": str(crf), "preset": preset}
        case "libx265":
            return {"crf": str(crf), "preset": preset, "x265-params": "log-level=error"}
        case "libsvtav1":
            level = round(_SVT_FASTEST * (1 - slowness))
            return {"crf": crf_of_63, "preset": str(max(level, 2))}
        case "libvpx-vp9":
            level = round(_VPX_FASTEST * (1 - slowness))
            return {"crf": crf_of_63, "b": "0", "deadline": "good", "cpu-used": str(min(level, 5)), "row-mt": "1"}
        case "prores_ks":
            return {"profile": "4444" if "444" in pixel_format else "hq", "vendor": "apl0"}
        case _:
            return {"level": "3", "slicecrc": "1"}


def interlaced_options(codec: str, top_field_first: bool) -> dict[str, str] | None:
    """Options that make ``codec`` code interlaced pictures as such; None where it cannot."""
    match codec:
        case "libx264":
            return {"x264-params": "tff=1" if top_field_first else "bff=1"}
        case "prores_ks" | "ffv1":
            return {}
        case _:
            return None


def hdr_options(codec: str, mastering: bytes | None, light: bytes | None) -> dict[str, str]:
    """Options that carry HDR10's mastering display and content light level over to ``codec``.

    Args:
        codec: Only libx264 and libx265 take them; the others get none.
        mastering: FFmpeg's ``AVMasteringDisplayMetadata`` as stored: ten rationals and two flags.
        light: FFmpeg's ``AVContentLightMetadata`` as stored: two unsigned integers, cd/m².

    """
    key = {"libx264": ("x264-params", "cll"), "libx265": ("x265-params", "max-cll")}.get(codec)
    if key is None or (mastering is None and light is None):
        return {}
    parts = ["hdr10=1", "log-level=error"] if codec == "libx265" else []
    if mastering is not None:
        numbers = struct.unpack("<20i2i", mastering[:88])
        red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, darkest, brightest = (
            numbers[2 * index] / max(numbers[2 * index + 1], 1) for index in range(10)
        )
        points = (("G", green_x, green_y), ("B", blue_x, blue_y), ("R", red_x, red_y), ("WP", white_x, white_y))
        chromaticity = "".join(f"{name}({round(x * 50000)},{round(y * 50000)})" for name, x, y in points)
        name = "mastering-display" if codec == "libx264" else "master-display"
        parts.append(f"{name}={chromaticity}L({round(brightest * 10000)},{round(darkest * 10000)})")
    if light is not None:
        parts.append("{}={},{}".format(key[1], *struct.unpack("<II", light[:8])))
    return {key[0]: ":".join(parts)}
