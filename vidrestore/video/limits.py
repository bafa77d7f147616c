"""What a file may ask for before it is believed: formats, picture sizes, streams, memory and time.

A video may come from anywhere. FFmpeg by itself follows playlists to other files and addresses, draws a text file as a
film, and allocates what a header claims.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import av

from vidrestore.errors import VideoError

MOST_PIXELS: Final = 8192 * 8192
"""Of one picture. Level 6.2 of H.264 and HEVC and level 6.3 of AV1, the highest that films use, end at 35.7 million;
films for domes have 8192 x 8192."""
MOST_STREAMS: Final = 256
"""Of one file; a broadcast multiplex has some dozens."""
OPEN_SECONDS: Final = 60.0
READ_SECONDS: Final = 60.0
"""How long the system may take to open a file, and to give its next packet; a sleeping disk needs ten seconds."""
_MOST_HEADER: Final = 64 << 20
"""Bytes that a compressed QuickTime header may unpack to. That of a film of ten hours has less than 32 MiB."""

_MOST_BOXES: Final = 10_000
"""Boxes that are looked through for the header, which in fragmented files comes before the fragments."""

_FORMATS: Final = (
    "mov",  # and mp4, m4v, 3gp
    "matroska",  # and webm
    "mpegts",
    "mpeg",
    "avi",
    "asf",
    "flv",
    "ogg",
    "nut",
    "mxf",
    "mxf_opatom",
    "gxf",
    "dv",
    "rm",
    "wtv",
    "nsv",
    "ivf",
    "yuv4mpegpipe",
    "gif",
    "apng",
    "h264",
    "hevc",
    "vvc",
    "obu",
    "av1",
    "m4v",
    "mpegvideo",
    "h261",
    "h263",
    "vc1",
    "dirac",
    "mjpeg",
    "dnxhd",
    # Sound alone, so that it is called what it is.
    "wav",
    "mp3",
    "flac",
    "aac",
    "ac3",
)
"""FFmpeg's demuxers that read one file which holds everything itself."""

_PLAYLISTS: Final[Mapping[bytes, str]] = {
    b"#EXTM3U": "HLS or M3U",
    b"ffconcat": "ffconcat",
    b"<MPD": "DASH",
    b"<SmoothStreamingMedia": "Smooth Streaming",
    b"<smil": "SMIL",
    b"<AssetMap": "IMF",
    b"[playlist]": "PLS",
    b"[Reference]": "ASX",
    b"v=0": "SDP",
}
"""What a file that names other files or addresses begins with, after an XML declaration or a byte order mark."""
_SNIFFED: Final = 1024


def demuxer_options() -> dict[str, str]:
    """FFmpeg's options for opening a file that is not trusted: local, of a known format, with few streams."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(_FORMATS),
        "max_streams": str(MOST_STREAMS + 1),  # one more, so that too many can be told
        **decoder_options(),
    }


def decoder_options() -> dict[str, str]:
    """FFmpeg's options that make a decoder refuse pictures above ``MOST_PIXELS``, also in mid-stream."""
    return {"max_pixels": str(MOST_PIXELS)}


def check_streams(path: Path, count: int) -> None:
    """Raise a VideoError where a file has more than ``MOST_STREAMS`` streams; FFmpeg stops to look after one more."""
    if count > MOST_STREAMS:
        raise VideoError(f"{path} has more than {MOST_STREAMS} streams; copy those that are wanted into another file")


def check_size(path: Path, width: int, height: int) -> None:
    """Raise a VideoError where pictures of ``width`` x ``height`` pixels are too large to be decoded."""
    if width * height > MOST_PIXELS:
        raise VideoError(
            f"{path} claims pictures of {width}x{height}, {width * height / 1e6:.0f} million pixels; "
            f"at most {MOST_PIXELS / 1e6:.0f} million are decoded. The file is damaged, or must be scaled down first"
        )


def check_header(path: Path) -> None:
    """Look for what must not be given to FFmpeg: a QuickTime header that unpacks to more than 64 MiB.

    Raises:
        VideoError: it does, or the file cannot be read.

    """
    try:
        with path.open("rb") as file:
            unpacked = _compressed_header_size(file)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error
    if unpacked > _MOST_HEADER:
        raise VideoError(
            f"{path} has a compressed header that unpacks to {unpacked >> 20} MiB, at most {_MOST_HEADER >> 20} MiB "
            "are read; the file is damaged or made to do harm"
        )


def _compressed_header_size(file: BinaryIO) -> int:
    """What the ``cmov`` box of a QuickTime film claims to unpack to in bytes (QuickTime File Format, "Compressed
    Movie Resources"); 0 where there is none.
    """
    end = file.seek(0, 2)
    found, place = _find_box(file, b"moov", 0, end)
    for name in (b"cmov", b"cmvd"):
        if found:
            found, place = _find_box(file, name, place, place + found)
    if not found:
        return 0
    file.seek(place)
    return int.from_bytes(file.read(4), "big")


def _find_box(file: BinaryIO, name: bytes, place: int, end: int) -> tuple[int, int]:
    """Size and place of the content of the first box ``name`` between two places; 0 and 0 where there is none."""
    for _ in range(_MOST_BOXES):
        if place + 8 > end:
            break
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            break
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, header = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - place
        if head[4:8] == name:
            return max(min(size, end - place) - header, 0), place + header
        if size < header:
            break
        place += size
    return 0, 0


def refusal(path: Path, error: Exception) -> str | None:
    """Why FFmpeg would not open ``path`` with ``demuxer_options``, where that can be told."""
    if isinstance(error, av.error.ExitError):
        return f"it could not be read within {OPEN_SECONDS:g} s"
    kind = _playlist(path)
    if kind is not None:
        return f"it is a playlist ({kind}), which names other files or addresses; give the file with the video itself"
    if isinstance(error, av.error.ArgumentError):
        return "its format is not one that is read here; copy the streams into an .mkv file first"
    if isinstance(error, av.error.MemoryError):
        return f"it has more than {MOST_STREAMS} streams, or claims more memory than there is"
    return None


def _playlist(path: Path) -> str | None:
    """The kind of playlist that a file is; None where it is none."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    xml = start.startswith(b"<")
    return next((kind for mark, kind in _PLAYLISTS.items() if start.startswith(mark) or (xml and mark in start)), None)
