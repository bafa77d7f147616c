"""Frames of a video as a stream, each with the timestamp that the file gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from vidrestore.errors import VideoError
from vidrestore.types import Frame, Span
from vidrestore.video.awaited import Awaited
from vidrestore.video.limits import READ_SECONDS
from vidrestore.video.probe import demuxed, fraction, main_stream, open_source, probe, start_of, time_base_of
from vidrestore.video.refit import Fitting
from vidrestore.video.timing import in_time

SEEKABLE_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""Containers with an index of key frames. In the others (MPEG-TS, MPEG-PS, AVI ...) seeking is not exact."""

_WITHOUT_HEADER: Final = frozenset({"mpegts", "mpeg"})
"""Containers that claim no length; FFmpeg estimates it from the file's last timestamps."""
_MOST_FAILURES: Final = 16
"""Failed attempts in a row to read on, after which the rest of a file counts as missing."""
_DURATION_TAG: Final = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)")
"""As Matroska's statistics write it: hours, minutes and seconds."""


@dataclass
class DecodeReport:
    """What happened while a video was decoded; filled in by ``read_frames`` as it goes."""

    frames: int = 0
    """Frames handed out."""
    corrupt_frames: int = 0
    """Frames handed out that the decoder marked as damaged."""
    packets_failed: int = 0
    """Packets that could not be decoded and were skipped."""
    lost_frames: int = 0
    """Frames that the file has a timestamp for, and that no picture came of."""
    first_lost: float | None = None
    """Presentation time of the first of them in seconds."""
    repaired_pts: int = 0
    """Frames whose timestamp was missing, did not rise, or was out of line with those of its neighbours."""
    truncated: bool = False
    """Whether the file ends before its header says it does."""
    expected_frames: int | None = None
    """The header's claim where the file is truncated and read from its start; an estimate where it only claims a
    duration."""
    converted: str | None = None
    """Pixel formats from and to, where the stored one cannot be edited."""
    changes: list[str] = field(default_factory=list)
    """A sentence for each time that size or pixel format change to others than the first, in order."""

    def warnings(self) -> list[str]:
        """One sentence for each thing that a user should know; empty where all is well."""
        found = []
        if self.truncated:
            of = f" of {self.expected_frames}" if self.expected_frames else ""
            found.append(f"the file ends early: {self.frames}{of} frames could be decoded")
        if self.packets_failed:
            found.append(f"{self.packets_failed} damaged packets could not be decoded and were skipped")
        if self.lost_frames:
            found.append(
                f"{self.lost_frames} frames of the file gave no picture, the first at {self.first_lost:.3f} s; "
                "all others keep their times"
            )
        if self.corrupt_frames:
            found.append(f"{self.corrupt_frames} of {self.frames} frames are damaged in the file")
        if self.repaired_pts:
            found.append(f"{self.repaired_pts} frames had a missing or non-rising timestamp, which was repaired")
        if self.converted:
            found.append(f"the pixel format was converted for editing: {self.converted}")
        if self.changes:
            more = f" (the first of {len(self.changes)} such changes)" if len(self.changes) > 1 else ""
            found.append(f"{self.changes[0]}{more}; split the file there to keep its own size")
        return found


def read_frames(path: Path, span: Span = Span(), *, report: DecodeReport | None = None) -> Iterator[Frame]:  # noqa: B008
    """Decode the first video stream in order of presentation.

    Timestamps are those of the file; those that are missing or do not rise are repaired, see ``timing``. Damaged
    packets are skipped, a file that ends early yields what it holds, and pictures whose size or pixel format differs
    from the first one's are made to fit, see ``refit``; ``report`` counts it all.

    Args:
        path: A local file.
        span: Yield the frames with ``span.start <= seconds < span.stop``, where ``seconds`` is ``pts * time_base``
            minus the stream's start time. A whole span yields everything, also what lies before time zero.
        report: Filled in while frames are read; complete when the iterator ends.

    Raises:
        VideoError: the file cannot be opened, has no decodable frame or none in ``span``, or the system does not
            give its data.

    """
    report = DecodeReport() if report is None else report
    path = Path(path)
    with open_source(path) as container:
        stream = main_stream(container, path)
        time_base = time_base_of(stream)
        start = start_of(stream)
        decoder = Decoder(container, stream, report)
        if span.start == 0:
            decoded = decoder.decode()
        else:
            decoded = decode_from(path, decoder, int((start + Fraction(span.start)) // time_base))
        decoded = _to_the_end(path, decoder, decoded)
        fitting = Fitting(stream)
        report.changes = fitting.changes
        for picture, pts, made_up in in_time(decoded, _usual_step(stream)):
            seconds = float(pts * time_base - start)
            if not span.whole and span.stop is not None and seconds >= span.stop:
                break
            frame = Frame(pts, time_base, fitting.fit(picture, seconds))
            report.converted = fitting.converted
            if span.whole or seconds in span:
                report.frames += 1
                report.corrupt_frames += picture.is_corrupt
                report.repaired_pts += made_up
                yield frame
    if not span.whole:
        report.expected_frames = None  # it counts from the start
    if report.frames == 0:
        _explain_nothing(path, span)


def _to_the_end(path: Path, decoder: Decoder, decoded: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """``decoded``, and then the frames that ``decoder`` left behind, from a decoder without threads.

    Where the last packets are damaged, PyAV ends at the first error that a thread reports, and the frames of the
    others are lost with it.
    """
    yield from decoded
    missing = list(decoder.left_behind)
    if missing and decoder.container.format.name in SEEKABLE_FORMATS:
        with open_source(path) as again:
            alone = Decoder(again, main_stream(again, path), DecodeReport(), threads=1)
            for frame in decode_from(path, alone, missing[0]):
                if frame.pts in missing:
                    missing.remove(frame.pts)
                    yield frame
    decoder.note_lost(missing)


def _usual_step(stream: VideoStream) -> int:
    """Ticks of a frame at the rate that ``stream`` is said to have; 25 a second where it says nothing."""
    rate = fraction(stream.guessed_rate) or Fraction(25)
    return max(1, round(1 / (rate * time_base_of(stream))))


def _explain_nothing(path: Path, span: Span) -> None:
    """Say why there was no frame: ``probe`` does where the file has none at all."""
    info = probe(path)
    stop = "on" if span.stop is None else f"to {span.stop:g} s"
    length = "" if info.duration is None else f"; it is {info.duration:.3g} s long"
    raise VideoError(f"{path} has no frames from {span.start:g} s {stop}{length}")


class Decoder:
    """Decodes one stream of an open container, counting what goes wrong instead of failing."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, report: DecodeReport, *, threads: int = 0
    ) -> None:
        """Decode ``stream`` of ``container`` with as many ``threads``, 0 being one for each core."""
        self.container = container
        self.stream = stream
        self.report = report
        self.threads = threads
        self.left_behind: list[int] = []
        """Timestamps after the last frame, rising, that no frame came with; complete when ``decode`` ends."""
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads

    @property
    def name(self) -> str:
        """The path of the file."""
        return self.container.name.removeprefix("file:")

    def decode(self, since: int | None = None) -> Iterator[VideoFrame]:
        """Frames from where the container stands, in order of presentation, to its end.

        Those lost count from the pts ``since`` on: after a seek, the first frames may lean on others before it.
        """
        count = discarded = end = longest = 0
        awaited, drained = Awaited(since), False
        for packet in self.packets():
            if packet.size:
                count += 1
                discarded += packet.is_discard
                end = max(end, (packet.pts or packet.dts or 0) + (packet.duration or 0))
                longest = max(longest, packet.duration or 0)
                if packet.pts is not None and not packet.is_discard:
                    awaited.add(packet.pts)
            elif packet.dts is not None:
                continue  # a frame that AVI leaves out; for the decoder, an empty packet would be the end
            else:
                drained = True
            for frame in self._decode_packet(packet):
                self.note_lost(awaited.passed_by(frame))
                yield frame
        if not drained:
            for frame in self._decode_packet(None):
                self.note_lost(awaited.passed_by(frame))
                yield frame
        self.left_behind = awaited.left()
        self._note_early_end(count, discarded, end, longest)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets up to the end of the file, or to where it cannot be read on.

        Raises:
            VideoError: the system does not give the data in time.

        """
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                for packet in demuxed(self.container, self.stream):
                    failures = 0
                    yield packet
            except av.error.ExitError as error:
                raise VideoError(
                    f"{self.name} could not be read on within {READ_SECONDS:g} s; "
                    "is its disk or network share still there?"
                ) from error
            except (av.FFmpegError, OSError):
                failures += 1
            else:
                return
        self.report.truncated = True

    def note_lost(self, stamps: list[int]) -> None:
        """Count frames that never came, by their timestamps."""
        if stamps and self.report.first_lost is None:
            self.report.first_lost = float(stamps[0] * time_base_of(self.stream))
        self.report.lost_frames += len(stamps)

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Frames that ``packet`` completes; with None, those that the decoder still holds."""
        try:
            return self.stream.decode(packet)
        except av.error.MemoryError as error:
            raise VideoError(f"there is not enough memory to decode {self.name}") from error
        except av.FFmpegError:
            self.report.packets_failed += packet is not None
            return []

    def _note_early_end(self, count: int, discarded: int, end: int, longest: int) -> None:
        """Compare what was read with the header: fewer packets than it counts, and a last one before its end.

        Args:
            count: Packets read.
            discarded: Those of them that an edit list hides.
            end: Where the last packet ends, in ticks.
            longest: Ticks that a packet lasts at most.

        """
        stream = self.stream
        claimed_end = _claimed_end(stream)
        read = end * time_base_of(stream) - start_of(stream)
        if claimed_end is None or count == 0 or read <= 0 or self.container.format.name in _WITHOUT_HEADER:
            return
        claimed = claimed_end - start_of(stream)
        frame = max(read / count, longest * time_base_of(stream))
        if claimed - read > Fraction(3, 2) * frame and not (stream.frames and count >= stream.frames):
            self.report.truncated = True
        if self.report.truncated:
            self.report.expected_frames = (stream.frames or round(count * claimed / read)) - discarded


def _claimed_end(stream: VideoStream) -> Fraction | None:
    """Seconds at which the header says that the stream ends."""
    if stream.duration is not None:
        return start_of(stream) + stream.duration * time_base_of(stream)
    tag = next((value for key, value in stream.metadata.items() if key.startswith("DURATION")), None)
    found = _DURATION_TAG.match(tag) if tag is not None else None
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def decode_from(path: Path, decoder: Decoder, target: int) -> Iterator[VideoFrame]:
    """Frames from pts ``target`` on, each exactly as if decoded from the start.

    Seeks to a key frame at or before ``target`` and drops what comes before the target. A key frame that is shown
    after the target, or an index that leads past it, means going back to an earlier one; where seeking is not to be
    trusted, the stream is decoded from its start.
    """
    container, stream = decoder.container, decoder.stream
    if container.format.name not in SEEKABLE_FORMATS:
        yield from _from_target(decoder.decode(target), target)
        return
    first = stream.start_time or 0
    second = int(1 / time_base_of(stream))
    back = 0
    while target - back > first:
        try:
            container.seek(target - back, stream=stream, backward=True, any_frame=False)
        except av.FFmpegError:
            break
        frames = decoder.decode(target)
        lead = next((frame for frame in frames if frame.key_frame), None)
        if lead is not None and lead.pts is not None and lead.pts <= target:
            yield from _from_target(_chain(lead, frames), target)
            return
        back = max(second, back * 4)
    with open_source(path) as fresh:
        restarted = Decoder(fresh, main_stream(fresh, path), decoder.report, threads=decoder.threads)
        yield from _from_target(restarted.decode(target), target)
        decoder.left_behind = restarted.left_behind


def _chain(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from rest


def _from_target(frames: Iterator[VideoFrame], target: int) -> Iterator[VideoFrame]:
    """Leave out frames that are known to be shown before ``target``."""
    return (frame for frame in frames if frame.pts is None or frame.pts >= target)
