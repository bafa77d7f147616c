"""What a file is, before it is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vidrestore.errors import VideoError
from vidrestore.types import StreamInfo, VideoInfo
from vidrestore.video.limits import (
    OPEN_SECONDS,
    READ_SECONDS,
    check_header,
    check_size,
    check_streams,
    decoder_options,
    demuxer_options,
    refusal,
)
from vidrestore.video.picture import StoredPicture, wrap

_FIELD_ORDERS = {1: "progressive", 2: "top_first", 3: "bottom_first", 4: "top_first", 5: "bottom_first"}
_SAMPLE_BYTES = 1 << 20
_SAMPLE_COUNT = 16


def probe(path: Path) -> VideoInfo:
    """Read what the container says, and one frame for its rotation and format.

    Raises:
        VideoError: ``path`` is missing, not a file, empty, not a video, without a video stream, or not decodable.

    """
    with open_source(path) as container:
        stream = main_stream(container, path)
        context = stream.codec_context
        picture = first_picture(container, stream, path)
        aspect = fraction(stream.sample_aspect_ratio)
        field_order = _FIELD_ORDERS.get(int(context.field_order), "unknown")
        duration = stream.duration * time_base_of(stream) if stream.duration is not None else None
        if duration is None and container.duration is not None:
            duration = Fraction(container.duration, av.time_base)
        return VideoInfo(
            path=Path(path),
            width=picture.width,
            height=picture.height,
            rotation=picture.rotation,
            time_base=time_base_of(stream),
            average_rate=fraction(stream.average_rate),
            frame_count=stream.frames or None,
            duration=None if duration is None else float(duration),
            pixel_format=context.pix_fmt or picture.layout.name,
            codec=context.name,
            color=picture.color,
            field_order=field_order,
            sample_aspect_ratio=aspect or Fraction(1),
            streams=tuple(_stream_info(item) for item in container.streams),
        )


def fingerprint(path: Path) -> str:
    """Hex digest of a file's size and of up to 16 MiB of samples spread over it: tells one video from another.

    Raises:
        VideoError: the file cannot be read.

    """
    check_readable(path)
    digest = hashlib.sha256()
    try:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        step = max(_SAMPLE_BYTES, (size - _SAMPLE_BYTES) // (_SAMPLE_COUNT - 1))
        with path.open("rb") as file:
            for offset in range(0, size, step):
                file.seek(offset)
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def comment_of(path: Path) -> str:
    """The comment in a file's metadata; empty where it has none.

    Raises:
        VideoError: the file cannot be opened.

    """
    with open_source(path) as container:
        return next((text for key, text in container.metadata.items() if key.lower() == "comment"), "")


def stream_start(path: Path) -> Fraction:
    """Seconds at which the first video stream starts: the zero of every ``Span``."""
    with open_source(path) as container:
        return start_of(main_stream(container, path))


def check_readable(path: Path) -> None:
    """Raise a VideoError that says why, unless ``path`` is a file with something in it."""
    if not path.exists():
        raise VideoError(f"{path} does not exist")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video file")
    if not path.is_file():
        raise VideoError(f"{path} is a pipe or a device, not a file; save the video in a file first")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")


@contextmanager
def open_source(path: Path) -> Iterator[InputContainer]:
    """Open a local file for reading, within ``limits``; whatever FFmpeg cannot open is a VideoError."""
    path = Path(path)
    check_readable(path)
    check_header(path)
    try:
        # The file: prefix keeps names such as "concat:a" and "a:b.mp4" from being taken for network addresses.
        container = av.open(
            f"file:{path}",
            "r",
            options=demuxer_options(),
            metadata_errors="replace",
            timeout=(OPEN_SECONDS, READ_SECONDS),
        )
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be opened as a video: {refusal(path, error) or reason(error)}") from error
    try:
        check_streams(path, len(container.streams))
        yield container
    finally:
        container.close()


def main_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a still picture such as cover art, ready to be decoded within ``limits``."""
    for stream in container.streams.video:
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            if stream.codec_context is None:  # FFmpeg has no decoder for it
                raise VideoError(f"{path} has a video stream in a codec that cannot be decoded here")
            check_size(path, stream.width, stream.height)
            stream.codec_context.options = decoder_options()
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
    raise VideoError(f"{path} has no video stream (its streams: {kinds})")


def first_picture(container: InputContainer, stream: VideoStream, path: Path) -> StoredPicture:
    """Decode forward to the first frame; VideoError where there is none."""
    for decoded in _decodable(container, stream):
        return wrap(decoded)
    raise VideoError(f"{path} contains no decodable frames")


def demuxed(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Packets of ``streams`` in the order of the file, and an empty one for each at its end.

    There PyAV raises an IndexError where the file has a stream that appeared after it was opened.
    """
    with suppress(IndexError):
        yield from container.demux(*streams)


def _decodable(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames of ``stream``, past packets that cannot be decoded, up to where the file cannot be read on."""
    packets = demuxed(container, stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def time_base_of(stream: Stream) -> Fraction:
    """A stream's time base in seconds."""
    return fraction(stream.time_base) or Fraction(1, av.time_base)


def start_of(stream: Stream) -> Fraction:
    """Seconds of a stream's first timestamp, 0 where it has none."""
    return (stream.start_time or 0) * time_base_of(stream)


def fraction(value: Any) -> Fraction | None:
    """A rational of any PyAV version as a Fraction; None for None, 0/0 and zero."""
    if value is None or not value.numerator or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


def reason(error: Exception) -> str:
    """What FFmpeg or the system says of an error, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _stream_info(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    return StreamInfo(stream.index, stream.type, context.name if context else "unknown", stream.language)
