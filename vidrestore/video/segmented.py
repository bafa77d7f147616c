"""A restored stream that is kept in segments while it is made, and joined when all are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from vidrestore.durability import make_durable
from vidrestore.errors import VideoError
from vidrestore.types import Frame
from vidrestore.video.containers import CONTAINERS
from vidrestore.video.encode import VideoEncoder
from vidrestore.video.segments import Segment, SegmentFile, read_packets
from vidrestore.video.write import OutputFile, failures, stored_picture

_PART = ".part"


class SegmentedWriter(OutputFile):
    """Writes frames into segments in a folder; leaving it normally joins them into the destination.

    A segment that ``cut`` has returned is on the disk and stays there, also when the writer is left by an exception,
    so that another writer can go on after it: the finished file is the same, whoever wrote which segment.
    """

    def keep_in(self, folder: Path, first: Frame, done: Sequence[Segment] = ()) -> None:
        """Where segments are, and what is there already; to be called once, before the first frame.

        Args:
            folder: A folder that exists.
            first: The first frame of the whole stream. All segments are encoded as its picture asks for, also those
                that begin in another run.
            done: Segments from the first on.

        """
        self._folder, self._first = folder, stored_picture(first)
        self._part = folder / f"joined{self._destination.suffix}"
        self._done = list(done)
        self._segment: tuple[OutputContainer, VideoEncoder, SegmentFile] | None = None

    def write(self, frame: Frame) -> None:
        picture, pts = stored_picture(frame), self._pts_of(frame)
        with failures(self._destination):
            _, encoder, file = self._segment = self._segment or self._begin()
            file.add(encoder.encode(picture, pts))

    def cut(self) -> Segment:
        """End the segment, and have it on the disk; the next frame begins another.

        Raises:
            VideoError: no frame was written since the last cut, or encoder or disk refuse.

        """
        if self._segment is None:
            raise VideoError("a segment has no frames")
        container, encoder, file = self._segment
        name = self._next_name()
        with failures(self._destination):
            file.add(encoder.flush())
            file.close()
            make_durable(self._folder / (name + _PART))
            (self._folder / (name + _PART)).replace(self._folder / name)
            make_durable(self._folder)
        container.close()
        self._segment = None
        self._done.append(file.described(name))
        return self._done[-1]

    def _begin(self) -> tuple[OutputContainer, VideoEncoder, SegmentFile]:
        """An encoder, in a container of the output's kind that is never written, and the file of its packets."""
        muxer = CONTAINERS[self._destination.suffix.lower()]
        container = av.open(os.devnull, "w", format=muxer)
        file = SegmentFile(self._folder / (self._next_name() + _PART))
        self._exits.callback(file.close)
        return container, self._encoder_in(container, self._first), file

    def _next_name(self) -> str:
        return f"segment_{len(self._done):06d}"

    def _end(self) -> None:
        if self._segment is not None:
            self.cut()
        if not self._done:
            return
        self._output = self._open(self._first)
        self._output.start_encoding()
        paths = [self._folder / segment.name for segment in self._done]
        for packet in read_packets(paths, self._time_base):
            assert packet.dts is not None
            self._copier.copy_until(Fraction(packet.dts) * self._time_base)
            packet.stream = self._encoder.stream
            self._mux([packet])
        frames = sum(segment.frames for segment in self._done)
        if len(self._muxed) != frames:
            raise VideoError(
                f"the segments in {self._folder} have {len(self._muxed)} frames, and {frames} were restored"
            )
