"""One of FFmpeg's video filters, fed frame by frame."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import av
from av import VideoFrame
from av.filter import Graph

_ANY_TIME_BASE = Fraction(1, 1000)
"""The filters used here give frames in the order they come, whatever their time."""


class FrameFilter:
    """A filter that takes frames in order and gives others in order, perhaps later."""

    def __init__(self, name: str, arguments: str, like: VideoFrame) -> None:
        """The filter ``name`` for frames of the size and pixel format of ``like``."""
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=like.width, height=like.height, format=like.format, time_base=like.time_base or _ANY_TIME_BASE
        )
        chosen = self._graph.add(name, arguments)
        source.link_to(chosen)
        chosen.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def push(self, frame: VideoFrame | None) -> list[VideoFrame]:
        """The frames that are ready after ``frame``; after None, those that are left."""
        self._graph.push(frame)
        ready = []
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                picture = self._graph.pull()
                assert isinstance(picture, VideoFrame)
                ready.append(picture)
        return ready
