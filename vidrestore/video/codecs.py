"""Encoders: which pixel formats and containers they take, and what quality and speed mean to each."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.codec import Codec, find_best_pix_fmt_of_list
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat

from vidrestore.errors import ConfigError, VideoError
from vidrestore.video.containers import CONTAINERS, NAMES
from vidrestore.video.layout import find_layout
from vidrestore.video.probe import reason

FAMILIES: Mapping[str, str] = {
    "libx264": "h264",
    "libx265": "hevc",
    "libsvtav1": "av1",
    "libvpx-vp9": "vp9",
    "prores_ks": "prores",
    "ffv1": "ffv1",
    "h264_nvenc": "h264",
    "hevc_nvenc": "hevc",
    "av1_nvenc": "av1",
}
"""Encoders, and what they encode as FFmpeg names it. Of each family the first is the one chosen by itself."""

CODECS = tuple(FAMILIES)

_HELD_IN: Mapping[str, frozenset[str]] = {
    "h264": frozenset({"mp4", "mov", "matroska"}),
    "hevc": frozenset({"mp4", "mov", "matroska"}),
    "av1": frozenset({"mp4", "matroska", "webm"}),
    "vp9": frozenset({"mp4", "matroska", "webm"}),
    "prores": frozenset({"mov", "matroska"}),
    "ffv1": frozenset({"matroska"}),
}
"""FFmpeg's muxers that take a family. An mp4 takes ffv1, too, but no player knows what to do with it."""

_NEAREST = {
    "vp8": "libvpx-vp9",
    **dict.fromkeys(("dnxhd", "cfhd"), "prores_ks"),
    **dict.fromkeys(("rawvideo", "v210", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "png", "qtrle"), "ffv1"),
}
"""Encoders for codecs that are not written here: editing codecs stay so, and what is lossless stays lossless."""

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
_SVT_FASTEST, _VPX_FASTEST, _NVENC_SLOWEST = 12, 8, 7

_X264_SCALE = (0, 10, 13, 16, 19, 22, 25, 28, 51)
_ALIKE = {
    "libx265": (0, 11, 14, 17, 20, 24, 27, 31, 51),
    "libsvtav1": (1, 7, 11, 17, 26, 35, 44, 53, 63),
    "libvpx-vp9": (0, 9, 13, 21, 28, 34, 41, 48, 63),
}
"""Settings that come to the same PSNR of luma as those of x264, by ``benchmarks/encoders.py`` on three real clips."""

_EVEN_ONLY = frozenset({"libx264", "libx265", "prores_ks", "h264_nvenc", "hevc_nvenc", "av1_nvenc"})
"""Encoders that want the picture to be a whole number of chroma blocks."""


def check_codec(destination: Path, codec: str, preset: str) -> None:
    """Check names, and that the container of ``destination`` can hold the codec; ``auto`` finds one that it can.

    Raises:
        ConfigError: an unknown codec or preset, or a codec that this machine lacks.
        VideoError: an unknown extension, or a container that cannot hold the codec.

    """
    extension = destination.suffix.lower()
    if extension not in CONTAINERS:
        named = f"has the extension {extension}" if extension else "has no extension"
        known = ", ".join(CONTAINERS)
        raise VideoError(f"{destination} {named}; choose one of {known}: .mkv takes every kind of stream")
    if codec not in ("auto", *CODECS):
        raise ConfigError(f"encoding.codec is {codec!r}, allowed: auto, {', '.join(CODECS)}")
    if preset not in _PRESETS:
        raise ConfigError(f"encoding.preset is {preset!r}, allowed: {', '.join(_PRESETS)}")
    if codec == "auto":
        return
    if not _holds(CONTAINERS[extension], codec):
        others = [name for name, muxer in CONTAINERS.items() if muxer in _HELD_IN[FAMILIES[codec]] and name != ".m4v"]
        raise VideoError(
            f"a {extension} file cannot hold {codec} video; name the output {destination.stem}.mkv "
            f"({' and '.join(others)} can), or choose another --codec"
        )
    refused = refusal(codec)
    if refused:
        raise ConfigError(f"the encoder {codec} does not open here ({refused}); choose another --codec")


def refusal(codec: str) -> str:
    """Why the encoder ``codec`` does not open on this machine; empty where it does.

    Those that need a device are really opened: that FFmpeg has them says nothing.
    """
    try:
        context = av.CodecContext.create(codec, "w")
    except ValueError:
        return f"PyAV {av.__version__} was built without it"
    if not codec.endswith("_nvenc"):
        return ""
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.time_base = 512, 512, "yuv420p", Fraction(1, 25)
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        return f"it needs an NVIDIA GPU with NVENC and its driver: {reason(error)}"
    return ""


def choose_codec(source: str, pixel_format: str, width: int, height: int, *, muxer: str) -> tuple[str, str]:
    """The encoder for a video in the codec ``source``, and a sentence where it is not of the same family.

    Args:
        source: FFmpeg's name of the source's codec, such as ``h264``.
        pixel_format: Of the source's pictures.
        width: Of the pictures as stored.
        height: Of the pictures as stored.
        muxer: FFmpeg's name of the output's container.

    """
    kin = next((name for name, family in FAMILIES.items() if family == source), None)
    wanted = kin or _NEAREST.get(source) or ""
    usual = "libvpx-vp9" if muxer == "webm" else "libx264"
    is_deep = VideoFormat(pixel_format, 64, 64).components[0].bits > 8
    others = ("libx265", "libsvtav1", usual) if is_deep else (usual, "libx265", "libsvtav1")
    fitting = [name for name in (wanted, *others, "libvpx-vp9", "ffv1") if name and _holds(muxer, name)]
    whole = [name for name in fitting if _keeps(name, pixel_format, width, height)]
    codec = (whole or fitting)[0]
    if FAMILIES[codec] == source:
        return codec, ""
    if codec == wanted or not wanted:
        why = "is not written here"
    elif wanted not in fitting:
        why = f"does not fit into {NAMES[muxer]} file"
    else:
        why = f"cannot be written with pictures in {pixel_format} of {width}x{height}"
    return codec, f"the source's {source} video {why}; the output is encoded by {codec}"


def _holds(muxer: str, codec: str) -> bool:
    return muxer in _HELD_IN[FAMILIES[codec]]


def _keeps(codec: str, name: str, width: int, height: int) -> bool:
    """Whether ``codec`` stores pictures in the pixel format ``name`` without loss of bits, chroma or RGB."""
    try:
        chosen = VideoFormat(choose_pixel_format(codec, name, width, height), 64, 64)
    except (VideoError, ValueError):
        return False
    plain = VideoFormat(name, 64, 64)
    if plain.is_rgb != chosen.is_rgb or len(chosen.components) < len(plain.components):
        return False
    return all(
        one.bits >= other.bits and one.width >= other.width and one.height >= other.height
        for one, other in zip(chosen.components, plain.components, strict=False)
    )


def encoder_opens(codec: str) -> bool:
    """Whether the encoder ``codec`` opens on this machine."""
    return not refusal(codec)


def choose_pixel_format(codec: str, name: str, width: int, height: int) -> str:
    """The pixel format nearest to ``name`` that ``codec`` can encode at this size.

    Raises:
        VideoError: the encoder has no format for an odd width or height.

    """
    formats = [item.name for item in Codec(codec, "w").video_formats or ()]
    fitting = [item for item in formats if _can_be_made(item) and _fits(codec, item, width, height)]
    if not fitting:
        raise VideoError(f"{codec} cannot encode the odd size {width}x{height}; choose another --codec")
    plain = name.replace("yuvj", "yuv")
    for same in (name, plain):
        if same in fitting:
            return same
    best, _ = find_best_pix_fmt_of_list(fitting, plain, has_alpha=True)
    return best.name if best is not None else fitting[0]


def _can_be_made(name: str) -> bool:
    """Whether pictures can be converted to a format exactly: those that are edited, and NVENC's of 10 bits."""
    return name == "p010le" or find_layout(name) is not None


def _fits(codec: str, name: str, width: int, height: int) -> bool:
    if codec not in _EVEN_ONLY:
        return True
    pixel_format = VideoFormat(name, 64, 64)
    chroma = [part for part in pixel_format.components if part.is_chroma]
    return all(width % (64 // part.width) == 0 and height % (64 // part.height) == 0 for part in chroma)


def encoder_options(codec: str, crf: int, preset: str, pixel_format: str) -> dict[str, str]:  # noqa: PLR0911
    """FFmpeg's options for a codec.

    ``crf`` is on x264's scale, 0..51; the others get the figure that was measured to look the same, so that one
    setting means one quality. ``preset`` is x264's name, mapped to the same place in the other encoders' ranges.
    ProRes takes its quality from its profile, FFV1 is lossless: both take neither.
    """
    slowness = _PRESETS.index(preset) / (len(_PRESETS) - 1)
    quality = {"crf": str(same_quality(codec, crf))}
    match codec:
        case "libx264":
            return {**quality, "preset": preset}
        case "libx265":
            return {**quality, "preset": preset, "x265-params": "log-level=error"}
        case "libsvtav1":
            level = round(_SVT_FASTEST * (1 - slowness))
            return {**quality, "preset": str(max(level, 2))}
        case "libvpx-vp9":
            level = round(_VPX_FASTEST * (1 - slowness))
            return {**quality, "b": "0", "deadline": "good", "cpu-used": str(min(level, 5)), "row-mt": "1"}
        case "prores_ks":
            return {"profile": "4444" if "444" in pixel_format else "hq", "vendor": "apl0"}
        case "ffv1":
            return {"level": "3", "slicecrc": "1"}
    level = 1 + round((_NVENC_SLOWEST - 1) * slowness)
    return {"rc": "vbr", "cq": quality["crf"], "b": "0", "preset": f"p{level}", "tune": "hq"}


def same_quality(codec: str, crf: int) -> int:
    """The setting of ``codec``, on its own scale, that looks like ``crf`` of x264; the same for NVENC's H.26x scale."""
    return round(float(np.interp(crf, _X264_SCALE, _ALIKE.get(codec, _X264_SCALE))))


def interlaced_options(codec: str, top_field_first: bool) -> dict[str, str] | None:
    """Options that make ``codec`` code interlaced pictures as such; None where it cannot."""
    match codec:
        case "libx264":
            return {"x264-params": "tff=1" if top_field_first else "bff=1"}
        case "prores_ks" | "ffv1":
            return {}
        case _:
            return None


_HDR_PARAMETERS: Mapping[str, tuple[str, str, str]] = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
"""Of encoders that take HDR10's data: the option with parameters, and what these call display and light level."""


def hdr_options(codec: str, mastering: bytes | None, light: bytes | None) -> dict[str, str]:
    """Options that carry HDR10's mastering display and content light level over to ``codec``.

    Args:
        codec: libx264, libx265 and libsvtav1 take them; the others get none.
        mastering: FFmpeg's ``AVMasteringDisplayMetadata`` as stored: ten rationals and two flags.
        light: FFmpeg's ``AVContentLightMetadata`` as stored: two unsigned integers, cd/m².

    """
    names = _HDR_PARAMETERS.get(codec)
    if names is None or (mastering is None and light is None):
        return {}
    option, display, level = names
    parts = ["hdr10=1", "log-level=error"] if codec == "libx265" else []
    if mastering is not None:
        numbers = struct.unpack("<20i2i", mastering[:88])
        *points, darkest, brightest = (numbers[2 * index] / max(numbers[2 * index + 1], 1) for index in range(10))
        if codec == "libsvtav1":  # as decimal numbers; the others count units of 0.00002 and 0.0001 cd/m2
            places, light_range = [f"{place:.6f}" for place in points], f"{brightest:.4f},{darkest:.4f}"
        else:
            places = [str(round(place * 50000)) for place in points]
            light_range = f"{round(brightest * 10000)},{round(darkest * 10000)}"
        red, green, blue, white = (",".join(places[start : start + 2]) for start in range(0, 8, 2))
        parts.append(f"{display}=G({green})B({blue})R({red})WP({white})L({light_range})")
    if light is not None:
        parts.append("{}={},{}".format(level, *struct.unpack("<II", light[:8])))
    return {option: ":".join(parts)}
