"""What an output will hold, found out before any work is done: a frame is written into memory, and read back.

Muxers refuse or drop things without saying so beforehand. So the very output is opened, with the picture that comes
first and the first packet of every other stream, and what can be read from it is compared with the source.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Set
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vidrestore.errors import ConfigError, VideoError
from vidrestore.types import OutputPlan, Span, StreamPlan
from vidrestore.video.assembly import Assembly, assemble
from vidrestore.video.containers import CONTAINERS, NAMES, QUICKTIME, TICK, printable, stream_metadata
from vidrestore.video.encode import VideoEncoder
from vidrestore.video.picture import StoredPicture
from vidrestore.video.probe import first_picture, fraction, main_stream, open_source, reason, time_base_of

_TRIED = (".mkv", ".mp4", ".mov")
"""Containers that are looked at where the chosen one cannot take everything, the most able first."""
_CRF, _PRESET = 30, "ultrafast"
"""Neither decides what a container holds."""
_UNTOLD = frozenset({"handler_name", "vendor_id", "creation_time", "filename", "mimetype", "timecode"})
"""Tags that muxers write in their own way, or that belong to a track they make by themselves."""


def plan_output(source: Path, destination: Path, codec: str = "auto") -> OutputPlan:
    """What ``destination`` will hold of ``source``, and which container would hold more.

    Args:
        source: A video file.
        destination: The file to write, which is not touched; its extension names the container.
        codec: ``auto`` or one of ``codecs.CODECS``.

    Raises:
        VideoError: the source cannot be decoded, or the picture not be encoded, or the container not be written.

    """
    with open_source(source) as container:
        first = first_picture(container, main_stream(container, source), source)
    plan = _rehearse(source, first, destination.suffix.lower(), codec)
    best, fewest = None, len(plan.losses)
    for extension in _TRIED:
        if fewest and CONTAINERS[extension] != CONTAINERS[plan.extension]:
            try:
                other = len(_rehearse(source, first, extension, codec).losses)
            except (VideoError, ConfigError):
                continue
            if other < fewest:
                best, fewest = extension, other
    return dataclasses.replace(plan, better=best)


def check_nothing_is_lost(plan: OutputPlan) -> None:
    """Raise a VideoError that names everything of the source that ``plan`` does not carry over as it is."""
    if plan.losses:
        better = f". {plan.better} would keep more" if plan.better else ""
        raise VideoError(
            f"the {plan.extension} file would not hold everything, and --strict was asked for: "
            f"{'; '.join(plan.losses)}{better}"
        )


def _rehearse(path: Path, first: StoredPicture, extension: str, codec: str) -> OutputPlan:
    """Write ``first`` and one packet of each stream into memory, and tell what is missing when it is read back."""
    memory = io.BytesIO()
    with open_source(path) as source:
        main = main_stream(source, path)
        encoder_in = partial(
            VideoEncoder,
            source=main,
            first=first,
            codec=codec,
            crf=_CRF,
            preset=_PRESET,
            aspect=fraction(main.sample_aspect_ratio),
            time_base=time_base_of(main),
        )
        try:
            made = assemble(memory, extension, source, main, encoder_in, span=Span(), zero=Fraction(0), comment="")
            with closing(made.output):
                made.output.mux(made.encoder.encode(first, first.stored.pts or 0))
                made.output.mux(made.encoder.flush())
                made.copier.copy_first()
            memory.seek(0)
            with av.open(memory, "r", metadata_errors="replace") as result:
                altered = (*made.plan.altered, *differences(source, main, result, made))
        except (av.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, VideoError):
                raise
            name = NAMES[CONTAINERS[extension]]
            raise VideoError(f"{name} file of what is in {path} cannot be written: {reason(error)}") from error
    return dataclasses.replace(made.plan, altered=altered)


def _rounding(main: VideoStream, extension: str) -> Iterator[str]:
    """Whether times of frames fall between the ticks of the container, as far as the rate tells."""
    rate, unit = fraction(main.average_rate), time_base_of(main)
    exact = (unit / TICK).denominator == 1 or (rate is not None and (1 / rate / TICK).denominator == 1)
    if CONTAINERS[extension] not in QUICKTIME and not exact:
        yield f"{NAMES[CONTAINERS[extension]]} file rounds all times to milliseconds"


def differences(source: InputContainer, main: VideoStream, result: InputContainer, made: Assembly) -> Iterator[str]:
    """A sentence for each thing that was put into an output and is not found in it.

    Args:
        source: Where streams come from.
        main: The stream of ``source`` that was encoded anew.
        result: The output, opened for reading.
        made: The output, as it was opened for writing.

    """
    extension, muxer = made.plan.extension, made.output.format.name
    yield from _rounding(main, extension)
    for kind, before, after in _pairs(source, result, made.plan.streams, made.copier.written | {main.index}):
        if after is None:
            yield f"{kind} does not come out of {NAMES[muxer]} file"
            continue
        tags = _lost_tags(stream_metadata(before, muxer), stream_metadata(after, muxer))
        marks = Disposition(int(before.disposition) & ~int(after.disposition))
        lost = [*tags, *(mark.name or "" for mark in marks)]
        if lost:
            yield f"{NAMES[muxer]} file does not keep {', '.join(lost)} of {kind}"
    tags = _lost_tags(dict(made.output.metadata), dict(result.metadata))
    if tags:
        yield f"{NAMES[muxer]} file does not keep the tags {', '.join(tags)}"
    if made.chapters != len(result.chapters()):
        yield f"{NAMES[muxer]} file does not keep the chapters"
    aspect = made.encoder.aspect or Fraction(1)
    if aspect != (fraction(main_stream(result, Path(result.name)).sample_aspect_ratio) or 1):
        yield f"{NAMES[muxer]} file does not keep the pixels' shape {aspect} in {made.encoder.codec}"


def _pairs(
    source: InputContainer, result: InputContainer, plans: tuple[StreamPlan, ...], written: Set[int]
) -> Iterator[tuple[str, Stream, Stream | None]]:
    """Each stream that was written, in words, and what came of it. Containers keep the order of streams of a kind."""
    left = {stream.index: _sort(stream) for stream in result.streams}
    for plan in plans:
        before = source.streams[plan.stream.index]
        if plan.fate == "left out" or before.index not in written or before.type == "data":
            continue
        index = next((index for index, sort in left.items() if sort == _sort(before)), None)
        if index is not None:
            del left[index]
        name = f"the {plan.stream.kind} stream {before.index} ({plan.stream.codec})"
        yield name, before, None if index is None else result.streams[index]


def _sort(stream: Stream) -> tuple[str, bool]:
    return stream.type, bool(stream.disposition & Disposition.attached_pic)


def _lost_tags(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Keys whose value did not come back; which letters of a key are capitals is the container's business."""
    found = {key.lower(): value for key, value in after.items()}
    told = {key: value for key, value in before.items() if key.lower() not in _UNTOLD}
    return [printable(key) for key, value in told.items() if found.get(key.lower()) != value]
