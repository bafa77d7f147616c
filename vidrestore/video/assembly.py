"""An output with all its streams, in the order of the source's: opened the same for a rehearsal and for the work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vidrestore.types import OutputPlan, Span, StreamPlan
from vidrestore.video.containers import CONTAINERS, chapters_within, global_metadata, open_output, take_timecode
from vidrestore.video.encode import VideoEncoder
from vidrestore.video.probe import fraction, time_base_of
from vidrestore.video.remux import StreamCopier, described

_TIMECODE = re.compile(r"\d{2}:\d{2}:\d{2}[:;.]\d{2,3}")
_TIMECODE_RATE = 120
"""SMPTE ST 12 counts no more frames in a second."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """An open output: what encodes its own stream, what copies the others, and what becomes of each."""

    output: OutputContainer
    encoder: VideoEncoder
    copier: StreamCopier
    plan: OutputPlan
    chapters: int
    """How many there are."""


def assemble(
    target: str | BinaryIO,
    extension: str,
    source: InputContainer,
    main: VideoStream,
    encoder_in: Callable[[OutputContainer], VideoEncoder],
    *,
    span: Span,
    zero: Fraction,
    comment: str,
    on_open: Callable[[OutputContainer], object] = lambda _: None,
) -> Assembly:
    """Open ``target`` with a stream for each of ``source`` that its container takes; nothing is written yet.

    Args:
        target: FFmpeg's name of a file, or a file in memory.
        extension: Of the container, one of ``CONTAINERS``.
        source: Where all streams but ``main`` are copied from, with chapters and metadata.
        main: The stream that is encoded anew.
        encoder_in: Adds the encoded stream to the output.
        span: The part of the source that is written.
        zero: Seconds of the source that become 0.
        comment: Added to the comment in the file's metadata.
        on_open: Called with the output before streams are added, so that it is closed whatever happens then.

    Raises:
        VideoError: the picture cannot be encoded.
        av.FFmpegError, OSError: the target cannot be opened.

    """
    muxer = CONTAINERS[extension]
    has_cover = muxer == "mp4" and any(stream.disposition & Disposition.attached_pic for stream in source.streams)
    metadata = global_metadata(source, comment)
    timecode = take_timecode(metadata)
    output = open_output(target, muxer, metadata, time_base_of(main), has_cover=has_cover)
    on_open(output)
    copier = StreamCopier(source, output, span, zero)
    streams = []
    for stream in source.streams:
        if stream.index == main.index:
            encoder = encoder_in(output)
            streams.append(StreamPlan(described(stream), "restored"))
        else:
            streams.append(copier.add(stream))
    lost = _set_timecode(encoder, copier.timecode or timecode)
    chapters = chapters_within(source, span, zero)
    if chapters:
        output.set_chapters(chapters)
    notes = (encoder.choice,) if encoder.choice else ()
    plan = OutputPlan(extension, encoder.codec, tuple(streams), notes, (*encoder.warnings, *lost))
    return Assembly(output, encoder, copier, plan, len(chapters))


def _set_timecode(encoder: VideoEncoder, timecode: str) -> list[str]:
    """Give the encoded stream its timecode, or that of the file; a sentence where no muxer would understand it.

    FFmpeg makes a track of it in mov and mp4, and fails at the very end where it cannot.
    """
    metadata = encoder.stream.metadata
    timecode = take_timecode(metadata) or timecode
    rate = fraction(encoder.stream.average_rate) or Fraction(0)
    if timecode and not (_TIMECODE.fullmatch(timecode) and 1 <= rate <= _TIMECODE_RATE):
        return [f"the timecode {timecode[:20]!r} is not kept: it is no timecode for {float(rate):g} frames a second"]
    if timecode:
        metadata["timecode"] = timecode
    return []
