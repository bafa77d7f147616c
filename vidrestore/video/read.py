"""Frames of a video as a stream, each with the timestamp that the file gives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from vidrestore.errors import VideoError
from vidrestore.types import Frame, Span
from vidrestore.video.picture import StoredPicture, wrap
from vidrestore.video.probe import main_stream, open_source, probe, start_of, time_base_of

SEEKABLE_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""Containers with an index of key frames. In the others (MPEG-TS, MPEG-PS, AVI ...) seeking is not exact."""


@dataclass
class DecodeReport:
    """What happened while a video was decoded; filled in by ``read_frames`` as it goes."""

    frames: int = 0
    """Frames handed out."""
    corrupt_frames: int = 0
    """Frames handed out that the decoder marked as damaged."""
    packets_failed: int = 0
    """Packets that could not be decoded and were skipped."""
    repaired_pts: int = 0
    """Frames whose timestamp was missing or did not rise."""
    truncated: bool = False
    """Whether the file ends before its header says it does."""
    expected_frames: int | None = None
    """The header's claim where the file is truncated and read from its start; an estimate where it only claims a
    duration."""
    converted: str | None = None
    """Pixel formats from and to, where the stored one cannot be edited."""

    def warnings(self) -> list[str]:
        """One sentence for each thing that a user should know; empty where all is well."""
        found = []
        if self.truncated:
            of = f" of {self.expected_frames}" if self.expected_frames else ""
            found.append(f"the file ends early: {self.frames}{of} frames could be decoded")
        if self.packets_failed:
            found.append(f"{self.packets_failed} damaged packets could not be decoded and were skipped")
        if self.corrupt_frames:
            found.append(f"{self.corrupt_frames} of {self.frames} frames are damaged in the file")
        if self.repaired_pts:
            found.append(f"{self.repaired_pts} frames had a missing or non-rising timestamp, which was repaired")
        if self.converted:
            found.append(f"the pixel format was converted for editing: {self.converted}")
        return found


def read_frames(path: Path, span: Span = Span(), *, report: DecodeReport | None = None) -> Iterator[Frame]:  # noqa: B008
    """Decode the first video stream in order of presentation.

    Timestamps are those of the file; one that is missing or does not rise is moved after the frame before it.
    Damaged packets are skipped, and a file that ends early yields what it holds; ``report`` counts both.

    Args:
        path: A local file.
        span: Yield the frames with ``span.start <= seconds < span.stop``, where ``seconds`` is ``pts * time_base``
            minus the stream's start time. A whole span yields everything, also what lies before time zero.
        report: Filled in while frames are read; complete when the iterator ends.

    Raises:
        VideoError: the file cannot be opened, has no decodable frame or none in ``span``, or changes its picture
            size or pixel format on the way.

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
        previous: Frame | None = None
        for picture in decoded:
            previous = _next_frame(path, previous, picture, time_base, report)
            seconds = float(previous.pts * time_base - start)
            if span.whole or seconds in span:
                report.frames += 1
                yield previous
            elif span.stop is not None and seconds >= span.stop:
                break
    if not span.whole:
        report.expected_frames = None  # it counts from the start
    if report.frames == 0:
        _explain_nothing(path, span)


def _explain_nothing(path: Path, span: Span) -> None:
    """Say why there was no frame: ``probe`` does where the file has none at all."""
    info = probe(path)
    stop = "on" if span.stop is None else f"to {span.stop:g} s"
    length = "" if info.duration is None else f"; it is {info.duration:.3g} s long"
    raise VideoError(f"{path} has no frames from {span.start:g} s {stop}{length}")


def _next_frame(
    path: Path, previous: Frame | None, decoded: VideoFrame, time_base: Fraction, report: DecodeReport
) -> Frame:
    """The frame of ``decoded``, checked against and timed after ``previous``."""
    pts = decoded.pts if decoded.pts is not None else decoded.dts
    step = max(decoded.duration or 1, 1)
    if pts is None or (previous is not None and pts <= previous.pts):
        report.repaired_pts += 1
        pts = 0 if previous is None else previous.pts + (step if pts is None else 1)
    report.corrupt_frames += decoded.is_corrupt
    stored_as = decoded.format.name
    picture = wrap(decoded)
    if picture.layout.name != stored_as:
        report.converted = f"{stored_as} to {picture.layout.name}"
    frame = Frame(pts, time_base, picture)
    if previous is not None:
        _check_same_shape(path, previous, frame)
    return frame


def _check_same_shape(path: Path, previous: Frame, frame: Frame) -> None:
    before, after = previous.picture, frame.picture
    assert isinstance(before, StoredPicture)
    assert isinstance(after, StoredPicture)
    old = (before.width, before.height, before.layout.name)
    new = (after.width, after.height, after.layout.name)
    if old != new:
        raise VideoError(
            f"{path} changes its picture from {old[0]}x{old[1]} {old[2]} to {new[0]}x{new[1]} {new[2]} "
            f"at {frame.seconds:.3f} s; split the file there and restore the parts by themselves"
        )


class Decoder:
    """Decodes one stream of an open container, counting what goes wrong instead of failing."""

    def __init__(self, container: InputContainer, stream: VideoStream, report: DecodeReport) -> None:
        """Decode ``stream`` of ``container`` with one thread for each core."""
        self.container = container
        self.stream = stream
        self.report = report
        stream.thread_type = "AUTO"

    def decode(self) -> Iterator[VideoFrame]:
        """Frames from where the container stands, in order of presentation, to its end."""
        count = discarded = end = 0
        for packet in self.packets():
            if packet.size:
                count += 1
                discarded += packet.is_discard
                end = max(end, (packet.pts or packet.dts or 0) + (packet.duration or 0))
            yield from self._decode_packet(packet)
        if self.report.truncated:
            yield from self._decode_packet(None)
        self._note_early_end(count, discarded, end)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets up to the end of the file, or to where it cannot be read on."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                self.report.truncated = True
                return
            if packet is None:
                return
            yield packet

    def _decode_packet(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Frames that ``packet`` completes; with None, those that the decoder still holds."""
        try:
            return self.stream.decode(packet)
        except (av.error.MemoryError, av.error.PermissionError):
            raise
        except av.FFmpegError:
            self.report.packets_failed += packet is not None
            return []

    def _note_early_end(self, count: int, discarded: int, end: int) -> None:
        """Compare what was read with the header: fewer packets than it counts, and a last one before its end.

        Args:
            count: Packets read.
            discarded: Those of them that an edit list hides.
            end: Where the last packet ends, in ticks.

        """
        stream = self.stream
        claimed_end = _claimed_end(stream)
        read = end * time_base_of(stream) - start_of(stream)
        if claimed_end is None or count == 0 or read <= 0:
            return
        claimed = claimed_end - start_of(stream)
        if claimed - read > Fraction(3, 2) * read / count and not (stream.frames and count >= stream.frames):
            self.report.truncated = True
        if self.report.truncated:
            self.report.expected_frames = (stream.frames or round(count * claimed / read)) - discarded


def _claimed_end(stream: VideoStream) -> Fraction | None:
    """Seconds at which the header says that the stream ends."""
    if stream.duration is not None:
        return start_of(stream) + stream.duration * time_base_of(stream)
    tag = next((value for key, value in stream.metadata.items() if key.startswith("DURATION")), None)
    if tag is None:
        return None
    hours, minutes, seconds = tag.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def decode_from(path: Path, decoder: Decoder, target: int) -> Iterator[VideoFrame]:
    """Frames from pts ``target`` on, each exactly as if decoded from the start.

    Seeks to a key frame at or before ``target`` and drops what comes before the target. A key frame that is shown
    after the target, or an index that leads past it, means going back to an earlier one; where seeking is not to be
    trusted, the stream is decoded from its start.
    """
    container, stream = decoder.container, decoder.stream
    if container.format.name not in SEEKABLE_FORMATS:
        yield from _from_target(decoder.decode(), target)
        return
    first = stream.start_time or 0
    second = int(1 / time_base_of(stream))
    back = 0
    while target - back > first:
        try:
            container.seek(target - back, stream=stream, backward=True, any_frame=False)
        except av.FFmpegError:
            break
        frames = decoder.decode()
        lead = next((frame for frame in frames if frame.key_frame), None)
        if lead is not None and lead.pts is not None and lead.pts <= target:
            yield from _from_target(_chain(lead, frames), target)
            return
        back = max(second, back * 4)
    with open_source(path) as fresh:
        restarted = Decoder(fresh, main_stream(fresh, path), decoder.report)
        yield from _from_target(restarted.decode(), target)


def _chain(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from rest


def _from_target(frames: Iterator[VideoFrame], target: int) -> Iterator[VideoFrame]:
    """Leave out frames that are known to be shown before ``target``."""
    return (frame for frame in frames if frame.pts is None or frame.pts >= target)
