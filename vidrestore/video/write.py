"""Writing a restored video: its own stream is encoded, everything else is copied from the source."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av import Packet
from av.container import OutputContainer
from av.video.stream import VideoStream

from vidrestore.durability import make_durable
from vidrestore.errors import VideoError
from vidrestore.types import Frame, Span
from vidrestore.video.assembly import Assembly, assemble
from vidrestore.video.codecs import check_codec
from vidrestore.video.encode import VideoEncoder
from vidrestore.video.picture import StoredPicture, picture_from_rgb
from vidrestore.video.plan import differences
from vidrestore.video.probe import (
    check_readable,
    fraction,
    main_stream,
    open_source,
    probe,
    reason,
    start_of,
    time_base_of,
)
from vidrestore.video.remux import StreamCopier


def check_destination(source: Path, destination: Path, codec: str = "libx264", preset: str = "veryfast") -> None:
    """Check, before any work is done, that ``destination`` can be written.

    Raises:
        VideoError: the destination is the source itself (also through a link), a folder, in a folder that is missing
            or cannot be written, has an unknown extension, or a container that cannot hold the codec.
        ConfigError: an unknown codec or preset.

    """
    check_readable(source)
    check_codec(destination, codec, preset)
    folder = destination.parent
    if destination.is_dir():
        raise VideoError(f"{destination} is a folder; name a file")
    if not folder.is_dir():
        why = "is a file, not a folder" if folder.exists() else "does not exist; create it first"
        raise VideoError(f"the folder {folder} {why}")
    if destination.exists() and destination.samefile(source):
        raise VideoError(f"{destination} is the input itself; choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise VideoError(f"the folder {folder} cannot be written to")
    part = part_path(destination)
    if part.exists() and part.samefile(source):
        raise VideoError(f"{destination} would be written as {part.name} first, which is the input; rename one")


def part_path(destination: Path) -> Path:
    """Where a video is written until it is whole."""
    return destination.with_name(f"{destination.stem}.part{destination.suffix}")


class OutputFile(ABC):
    """A new file with one stream of its own, which is otherwise a copy of ``source``.

    Use it as a context manager. Leaving it normally finishes the file, reads it back and moves it to ``destination``;
    leaving it by an exception removes what was written and leaves an existing ``destination`` as it was. Output
    timestamps are those of the frames (.mkv and .webm round all timestamps to milliseconds). ``warnings`` holds a
    sentence for each thing that could not be kept; it is complete when the file is left.
    """

    def __init__(
        self,
        source: Path,
        destination: Path,
        *,
        codec: str = "libx264",
        crf: int = 16,
        preset: str = "veryfast",
        span: Span = Span(),  # noqa: B008
        size: tuple[int, int] | None = None,
        comment: str = "",
        time_base: Fraction | None = None,
    ) -> None:
        """Check the destination and open the source; nothing is written before the first frame.

        Args:
            source: Where all other streams, chapters and metadata come from.
            destination: The file to write; its extension names the container.
            codec: One of ``codecs.CODECS``.
            crf: Quality on x264's scale, 0 (best) to 51.
            preset: Speed as x264 names it.
            span: The part of the source that the frames are from; where it is not whole, output begins at 0.
            size: Width and height of upright pictures that are composed of the source's (a comparison).
            comment: Added to the comment in the file's metadata.
            time_base: Finer than the source's, where fields of its frames are frames of the output.

        Raises:
            VideoError, ConfigError: as ``check_destination``.

        """
        check_destination(source, destination, codec, preset)
        self.warnings: list[str] = []
        self._destination, self._part = destination, part_path(destination)
        self._codec, self._crf, self._preset = codec, crf, preset
        self._span, self._size, self._comment = span, size, comment
        self._exits = ExitStack()
        self._source = self._exits.enter_context(open_source(source))
        self._main = main_stream(self._source, source)
        self._time_base = time_base or time_base_of(self._main)
        self._first_pts = 0 if span.whole else int((start_of(self._main) + Fraction(span.start)) // self._time_base)
        self._aspect = fraction(self._main.sample_aspect_ratio)
        if size is not None and self._aspect is not None and probe(source).rotation % 180:
            self._aspect = 1 / self._aspect
        self._output: OutputContainer | None = None
        self._muxed = array("q")
        self._encoder: VideoEncoder
        self._copier: StreamCopier
        self._assembly: Assembly

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exits:
            if kind is None:
                self._finish()

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Take one frame; frames come in order of presentation, all of one size.

        Raises:
            VideoError: encoder or disk refuse, or the size or pixel format has changed.

        """

    @abstractmethod
    def _end(self) -> None:
        """Mux what is left of the restored stream."""

    def _pts_of(self, frame: Frame) -> int:
        """The frame's time in the source's time base."""
        pts = frame.pts * frame.time_base / self._time_base
        if pts.denominator != 1:
            raise VideoError(f"a frame's time base {frame.time_base} does not fit the source's {self._time_base}")
        return int(pts)

    def _encoder_in(self, container: OutputContainer, first: StoredPicture) -> VideoEncoder:
        """An encoder for pictures like ``first``, as a stream of ``container``."""
        return VideoEncoder(
            container,
            self._main,
            first,
            codec=self._codec,
            crf=self._crf,
            preset=self._preset,
            aspect=self._aspect,
            time_base=self._time_base,
        )

    def _mux(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Write packets of the restored stream, timed as the source is, to the output that is open."""
        assert self._output is not None
        for packet in packets:
            if packet.pts is None or packet.dts is None:
                raise VideoError(f"the encoder {self._codec} gave a packet without a timestamp")
            self._muxed.append(packet.pts)
            packet.pts, packet.dts = packet.pts - self._first_pts, packet.dts - self._first_pts
            self._output.mux(packet)

    def _open(self, first: StoredPicture) -> OutputContainer:
        """Open the output with all its streams, in the order of the source's."""
        if self._size is not None and (first.width, first.height) != self._size:
            raise VideoError(f"the picture is {first.width}x{first.height}, not {self._size[0]}x{self._size[1]}")
        self._exits.callback(self._part.unlink, missing_ok=True)
        assembly = assemble(
            f"file:{self._part}",
            self._destination.suffix.lower(),
            self._source,
            self._main,
            lambda output: self._encoder_in(output, first),
            span=self._span,
            zero=self._first_pts * self._time_base,
            comment=self._comment,
            on_open=lambda output: self._exits.callback(_close_quietly, output),
        )
        self._assembly, self._encoder, self._copier = assembly, assembly.encoder, assembly.copier
        self._copier.start()
        self.warnings.extend(assembly.plan.warnings)
        return assembly.output

    def _finish(self) -> None:
        """Write what is left and the end of the file, read it back, and move it to its name."""
        with failures(self._destination):
            self._end()
            if self._output is None:
                raise VideoError(f"no frame was written to {self._destination}")
            self._copier.copy_until(None)
            self._output.close()
            check_written(self._part, self._muxed, self._first_pts, self._time_base)
            with open_source(self._part) as result:
                self.warnings.extend(differences(self._source, self._main, result, self._assembly))
            make_durable(self._part)
            self._part.replace(self._destination)
            make_durable(self._destination.parent)
        self.warnings.extend(self._copier.warnings)


class VideoWriter(OutputFile):
    """Writes frames as the video stream of a new file that is otherwise a copy of ``source``; see ``OutputFile``."""

    def write(self, frame: Frame) -> None:
        picture = stored_picture(frame)
        pts = self._pts_of(frame)
        with failures(self._destination):
            if self._output is None:
                self._output = self._open(picture)
            self._copier.copy_until(frame.pts * frame.time_base)
            self._mux(self._encoder.encode(picture, pts))

    def _end(self) -> None:
        if self._output is not None:
            self._mux(self._encoder.flush())


def stored_picture(frame: Frame) -> StoredPicture:
    """The frame's picture as it is encoded."""
    picture = frame.picture
    return picture if isinstance(picture, StoredPicture) else picture_from_rgb(picture.rgb())


def check_written(path: Path, muxed: array[int], first_pts: int, time_base: Fraction) -> None:
    """Read the packets of a finished file back, and compare them with what was muxed.

    Args:
        path: The file.
        muxed: Times of the packets, in ``time_base``.
        first_pts: The time that became 0 in the file.
        time_base: Seconds.

    Raises:
        VideoError: packets are missing, or are shown at another time.

    """
    with open_source(path) as container:
        stream = main_stream(container, path)
        base = time_base_of(stream)
        found = sorted(packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None)
        from_zero = container.format.name == "matroska,webm"
    if len(found) != len(muxed):
        raise VideoError(f"{len(muxed)} frames were written to {path}, but {len(found)} can be read from it")
    expected = sorted(muxed)
    # Matroska has no times before zero: where a stream begins earlier, its muxer moves all of them alike.
    moved = max(found[0] * base - (expected[0] - first_pts) * time_base, Fraction(0)) if from_zero else Fraction(0)
    for muxed_at, found_at in zip(expected, found, strict=True):
        wanted, read = (muxed_at - first_pts) * time_base + moved, found_at * base
        if abs(wanted - read) > base:
            raise VideoError(f"a frame written to {path} at {float(wanted):.6f} s is read at {float(read):.6f} s")


@contextmanager
def failures(destination: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system raise while writing into a VideoError."""
    try:
        yield
    except VideoError:
        raise
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{destination} could not be written: {reason(error)}") from error


def _close_quietly(output: OutputContainer) -> None:
    """Close an output that is finished or given up."""
    with suppress(av.FFmpegError, OSError, ValueError):
        output.close()
