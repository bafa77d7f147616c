"""Everything in a video file that is not the restored stream: copied packet by packet, never re-encoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import lcm
from typing import Any

import av
from av import Packet
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from vidrestore.types import Span
from vidrestore.video.probe import fraction, reason, time_base_of
from vidrestore.video.read import SEEKABLE_FORMATS

_SEEK_MARGIN_SECONDS = 2
_MILLISECONDS = 1000

_MUXERS_OWN = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "duration"})
"""Global metadata that the muxer writes by itself."""

_STALE_PREFIXES = ("encoder", "duration", "bps", "number_of_frames", "number_of_bytes", "rotate", "_statistics")
"""Stream metadata that was true of the old encoding only."""

_ITUNES_KEYS = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "creation_time",
        "location",
        "timecode",
        "language",
    }
)
"""Metadata that the plain mp4 tags hold."""


def global_metadata(source: InputContainer, comment: str) -> dict[str, str]:
    """Metadata of the whole file, with ``comment`` added after the comment it may have."""
    kept = {key: value for key, value in source.metadata.items() if key.lower() not in _MUXERS_OWN}
    if comment:
        key = next((key for key in kept if key.lower() == "comment"), "comment")
        kept[key] = "; ".join(part for part in (kept.get(key), comment) if part)
    return kept


def stream_metadata(stream: Stream, *, encoded: bool) -> dict[str, str]:
    """Metadata of a stream; of an encoded one without what described the old encoding."""
    return {
        key: value
        for key, value in stream.metadata.items()
        if not (encoded and key.lower().startswith(_STALE_PREFIXES))
    }


def muxer_options(muxer: str, metadata: dict[str, str], time_base: Fraction) -> dict[str, str]:
    """Options of the muxer for a file with this metadata and a video stream of this time base.

    An mp4 keeps metadata outside the common keys only when told to, and a start offset exactly only where its own
    time scale is a multiple of the stream's.
    """
    if muxer not in {"mp4", "mov"}:
        return {}
    scale = lcm(_MILLISECONDS, time_base.denominator)
    options = {"movie_timescale": str(scale if scale < 2**31 else time_base.denominator)}
    if any(key.split("-")[0].lower() not in _ITUNES_KEYS for key in metadata):
        options["movflags"] = "+use_metadata_tags"
    return options


def chapters_within(source: InputContainer, span: Span, zero: Fraction) -> list[Any]:
    """Chapters of the source; those in ``span`` cut to it and moved to its start, where it is not whole."""
    chapters = source.chapters()
    if span.whole:
        return list(chapters)
    kept = []
    stop = Fraction(span.stop) - Fraction(span.start) if span.stop is not None else None
    for chapter in chapters:
        base = fraction(chapter["time_base"]) or Fraction(1, av.time_base)
        begins = max(chapter["start"] * base - zero, Fraction(0))
        ends = chapter["end"] * base - zero if stop is None else min(chapter["end"] * base - zero, stop)
        if ends > begins:
            kept.append({**chapter, "start": round(begins / base), "end": round(ends / base)})
    return kept


class StreamCopier:
    """Copies streams of ``source`` to ``output``, in step with the video that is written beside them."""

    def __init__(self, source: InputContainer, output: OutputContainer, span: Span, zero: Fraction) -> None:
        """Copy the packets of ``span``, moved so that ``zero`` seconds of the source become 0."""
        self.warnings: list[str] = []
        self._source = source
        self._output = output
        self._span = span
        self._zero = zero
        self._targets: dict[int, Stream] = {}
        self._started: set[int] = set()
        self._packets: Iterator[Packet[Stream]] = iter(())
        self._waiting: Packet[Stream] | None = None

    def add(self, stream: Stream, taken: frozenset[str]) -> None:
        """Add a stream to the output, or a sentence to ``warnings`` where its container cannot take it.

        Args:
            stream: A stream of the source.
            taken: Names of the codecs that the container can hold.

        """
        codec = stream.codec_context.name if stream.codec_context else None
        canonical = stream.codec_context.codec.canonical_name if stream.codec_context else None
        if codec is None and stream.type == "data" and self._source.chapters() and stream.name == "bin_data":
            return  # QuickTime's chapter track: the chapters themselves are copied
        fits = canonical in taken or (stream.type == "attachment" and self._output.format.name == "matroska")
        refused = "" if fits else "this container cannot hold it"
        if fits:
            try:
                target = self._output.add_stream_from_template(stream)
                target.metadata.update(stream_metadata(stream, encoded=False))
                target.disposition = stream.disposition
                self._targets[stream.index] = target
            except (av.FFmpegError, ValueError) as error:
                refused = reason(error)
        if refused:
            what = f"{stream.type} stream {stream.index}" + (f" ({codec})" if codec else "")
            self.warnings.append(f"the {what} was left out of the {self._output.format.name} file: {refused}")

    def start(self) -> None:
        """Go to where the packets of the span begin."""
        copied = [self._source.streams[index] for index in self._targets]
        flowing = [stream for stream in copied if stream.type != "attachment"]
        if not flowing:
            return
        if not self._span.whole and self._source.format.name in SEEKABLE_FORMATS:
            before = self._zero - _SEEK_MARGIN_SECONDS
            if before > 0:
                self._source.seek(int(before * av.time_base), backward=True)
        self._packets = self._source.demux(flowing)
        self._waiting = self._next()

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write every packet that is decoded before ``seconds`` of the source; with None, all that are left."""
        while self._waiting is not None:
            packet = self._waiting
            if seconds is not None and packet.dts is not None and packet.dts * _base(packet) >= seconds:
                return
            self._write(packet)
            self._waiting = self._next()

    def _next(self) -> Packet[Stream] | None:
        """The next packet that holds something, None at the end."""
        while True:
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError) as error:
                self.warnings.append(f"sound and subtitles end early, the file cannot be read on: {reason(error)}")
                return None
            if packet is None or packet.size:
                return packet

    def _write(self, packet: Packet[Stream]) -> None:
        index = packet.stream.index
        still = bool(packet.stream.disposition & Disposition.attached_pic)
        if not still and not self._span.whole and not self._move(packet):
            return
        packet.stream = self._targets[index]
        if still:
            packet.pts = packet.dts = 0
        elif packet.dts is None:
            packet.dts = packet.pts
        self._output.mux(packet)

    def _move(self, packet: Packet[Stream]) -> bool:
        """Shift a packet's timestamps to the span; False where it lies outside."""
        time = packet.pts if packet.pts is not None else packet.dts
        base = _base(packet)
        if time is None or time * base < self._zero:
            return False
        if self._span.stop is not None and time * base - self._zero >= Fraction(self._span.stop - self._span.start):
            return False
        index = packet.stream.index
        if packet.stream.type == "video" and index not in self._started and not packet.is_keyframe:
            return False
        self._started.add(index)
        shift = round(self._zero / base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        return True


def _base(packet: Packet[Stream]) -> Fraction:
    return fraction(packet.time_base) or time_base_of(packet.stream)
