"""Subtitles of words, turned into the kind that the output's container has."""

from __future__ import annotations

from fractions import Fraction

import av
from av import Packet
from av.container import OutputContainer
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

_OF_CONTAINER = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""The kind of text that each of FFmpeg's muxers takes, whatever it came as."""

_PLAIN = frozenset({"subrip", "mov_text", "webvtt", "text"})
"""Kinds that hold words with bold, italic and underlined parts; the others have positions, fonts and drawings."""

_UNIT = Fraction(1, 1000)


def converted_kind(codec: str, muxer: str) -> str | None:
    """What subtitles in ``codec`` can become for ``muxer`` with every word and its emphasis; None where they cannot."""
    return _OF_CONTAINER[muxer] if codec in _PLAIN else None


def is_filler(codec: str, packet: Packet[Stream]) -> bool:
    """Whether a packet holds the empty text that fills the gaps of a mov_text track; muxers write their own."""
    return codec == "mov_text" and bytes(packet)[:2] == b"\0\0"


class TextConverter:
    """Turns the packets of one stream into packets of ``target``, each with its own times."""

    def __init__(self, source: Stream, output: OutputContainer, kind: str) -> None:
        """Add a stream of ``kind`` to ``output``."""
        assert isinstance(source.codec_context, SubtitleCodecContext)
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        target = output.add_stream(kind)
        assert isinstance(target, SubtitleStream)
        self.target = target
        target.time_base = _UNIT
        encoder = target.codec_context
        encoder.time_base = _UNIT
        encoder.subtitle_header = self._decoder.subtitle_header or b""
        self._encoder = encoder
        self.unreadable = 0
        """Packets that could not be decoded, or not be told in the other kind."""

    def convert(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet in the other kind; None where it shows nothing or is unreadable."""
        try:
            words = self._decoder.decode2(packet)
            if words is None or len(words) == 0:
                return None
            encoded = self._encoder.encode_subtitle(words)
        except (av.FFmpegError, ValueError):
            self.unreadable += 1
            return None
        encoded.pts = encoded.dts = packet.pts
        encoded.duration, encoded.time_base = packet.duration, packet.time_base
        return encoded
