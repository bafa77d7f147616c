"""Writing a restored video: its own stream is encoded, everything else is copied from the source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import OutputContainer

from vidrestore.errors import VideoError
from vidrestore.types import Frame, Span
from vidrestore.video.codecs import CONTAINERS, check_codec, supported_codecs
from vidrestore.video.encode import VideoEncoder
from vidrestore.video.picture import StoredPicture, picture_from_rgb
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
from vidrestore.video.remux import StreamCopier, chapters_within, global_metadata, muxer_options


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


class VideoWriter:
    """Writes frames as the video stream of a new file that is otherwise a copy of ``source``.

    Use it as a context manager. Leaving it normally finishes the file and moves it to ``destination``; leaving it by
    an exception removes what was written and leaves an existing ``destination`` as it was. Output timestamps are
    those of the frames (.mkv and .webm round all timestamps to milliseconds). ``warnings`` holds a sentence for each
    thing that could not be kept; it is complete when the writer is left.
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
        self._time_base = time_base_of(self._main)
        self._first_pts = 0 if span.whole else int((start_of(self._main) + Fraction(span.start)) // self._time_base)
        self._aspect = fraction(self._main.sample_aspect_ratio)
        if size is not None and self._aspect is not None and probe(source).rotation % 180:
            self._aspect = 1 / self._aspect
        self._output: OutputContainer | None = None
        self._encoder: VideoEncoder
        self._copier: StreamCopier

    def __enter__(self) -> Self:
        return self

    def write(self, frame: Frame) -> None:
        """Encode one frame; frames come in order of presentation, all of one size.

        Raises:
            VideoError: encoder or disk refuse, or the size or pixel format has changed.

        """
        picture = frame.picture
        if not isinstance(picture, StoredPicture):
            picture = picture_from_rgb(picture.rgb())
        pts = frame.pts * frame.time_base / self._time_base
        if pts.denominator != 1:
            raise VideoError(f"a frame's time base {frame.time_base} does not fit the source's {self._time_base}")
        with _failures(self._destination):
            if self._output is None:
                self._output = self._open(picture)
            self._copier.copy_until(frame.pts * frame.time_base)
            self._output.mux(self._encoder.encode(picture, int(pts) - self._first_pts))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exits:
            if kind is None:
                self._finish()

    def _open(self, first: StoredPicture) -> OutputContainer:
        """Open the output with all its streams, in the order of the source's."""
        if self._size is not None and (first.width, first.height) != self._size:
            raise VideoError(f"the picture is {first.width}x{first.height}, not {self._size[0]}x{self._size[1]}")
        extension = self._destination.suffix.lower()
        muxer = CONTAINERS[extension]
        metadata = global_metadata(self._source, self._comment)
        self._exits.callback(self._part.unlink, missing_ok=True)
        options = muxer_options(muxer, metadata, self._time_base)
        output = av.open(f"file:{self._part}", "w", format=muxer, options=options)
        self._exits.callback(_close_quietly, output)
        output.metadata.update(metadata)
        zero = self._first_pts * self._time_base
        self._copier = StreamCopier(self._source, output, self._span, zero)
        taken = supported_codecs(extension)
        for stream in self._source.streams:
            if stream.index != self._main.index:
                self._copier.add(stream, taken)
                continue
            self._encoder = VideoEncoder(
                output,
                self._main,
                first,
                codec=self._codec,
                crf=self._crf,
                preset=self._preset,
                aspect=self._aspect,
            )
        chapters = chapters_within(self._source, self._span, zero)
        if chapters:
            output.set_chapters(chapters)
        self._copier.start()
        self.warnings.extend(self._encoder.warnings)
        return output

    def _finish(self) -> None:
        """Write what encoder and source still hold and the end of the file, and move it to its name."""
        if self._output is None:
            raise VideoError(f"no frame was written to {self._destination}")
        with _failures(self._destination):
            self._output.mux(self._encoder.flush())
            self._copier.copy_until(None)
            self._output.close()
            self._part.replace(self._destination)
        self.warnings.extend(self._copier.warnings)


@contextmanager
def _failures(destination: Path) -> Iterator[None]:
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
