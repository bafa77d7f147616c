"""A stretch of an encoded stream in a file of its own: the encoder's packets as they came, and nothing else.

No common container keeps every codec's packets with any time base, negative decoding times and exact durations, so
the file is a list: a line that says what it is, then for each packet its size, its three times in ticks, whether it is
a key frame, and its content. A segment is encoded by an encoder of its own, so it begins with a key frame and refers
to nothing outside.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from av import Packet
from av.video.stream import VideoStream

from vidrestore.errors import VideoError

_MAGIC = b"vidrestore segment 1\n"
_RECORD = struct.Struct("<Iqqq?")
"""Bytes of content, pts, dts, duration, key frame."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of a segment that is whole; enough to notice when its file is not what was written."""

    name: str
    """Of its file, in the folder of the run."""
    frames: int
    first_pts: int
    """Of the frame that is shown first, in the stream's time base."""
    last_pts: int
    size: int
    """Bytes."""
    checksum: int
    """CRC-32 of the file."""


class SegmentFile:
    """A segment that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._size = self._checksum = 0
        self._pts = array("q")
        self._put(_MAGIC)

    def add(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Append packets.

        Raises:
            VideoError: a packet has no timestamp.
            OSError: the disk refuses.

        """
        for packet in packets:
            if packet.pts is None or packet.dts is None:
                raise VideoError("the encoder gave a packet without a timestamp; choose another --codec")
            content = bytes(packet)
            self._put(_RECORD.pack(len(content), packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe))
            self._put(content)
            self._pts.append(packet.pts)

    def close(self) -> None:
        """Close the file, whole or not."""
        self._file.close()

    def described(self, name: str) -> Segment:
        """What was written, as the segment ``name``."""
        return Segment(name, len(self._pts), min(self._pts), max(self._pts), self._size, self._checksum)

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._size += len(content)
        self._checksum = zlib.crc32(content, self._checksum)


def is_intact(segment: Segment, folder: Path) -> bool:
    """Whether the file of ``segment`` in ``folder`` is the one that was written."""
    path = folder / segment.name
    try:
        if path.stat().st_size != segment.size:
            return False
        checksum = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                checksum = zlib.crc32(chunk, checksum)
    except OSError:
        return False
    return checksum == segment.checksum


def read_packets(paths: Sequence[Path], time_base: Fraction) -> Iterator[Packet[VideoStream]]:
    """The packets of consecutive segments as one stream, with decoding times that rise across the joints.

    Each encoder counts its decoding times back from its own first frame. Here packet ``i`` of the stream is decoded at
    the ``i - depth``-th presentation time, where ``depth`` is how far frames are decoded ahead of their turn: what one
    encoder would have written.

    Raises:
        VideoError: a file is not a segment, or ends early.

    """
    times = [_presentation_times(path) for path in paths]
    depth = max((_reordering(part) for part in times), default=0)
    rising = np.concatenate([np.sort(part) for part in times]) if times else np.empty(0, np.int64)
    if np.any(np.diff(rising) <= 0):
        raise VideoError(f"the segments in {paths[0].parent} overlap: delete the folder to start anew")
    ahead = int(rising[depth] - rising[0]) if depth else 0
    number = 0
    for path in paths:
        for size, pts, _, duration, is_key, file in _records(path):
            content = file.read(size)
            if len(content) < size:
                raise _ends_early(path)
            packet = cast("Packet[VideoStream]", Packet(content))
            packet.pts = pts
            packet.dts = int(rising[number - depth]) if number >= depth else int(rising[number]) - ahead
            packet.duration, packet.time_base, packet.is_keyframe = duration, time_base, is_key
            number += 1
            yield packet


def _presentation_times(path: Path) -> np.ndarray:
    """Of the packets of a segment in the order of decoding, (N,) int64."""
    return np.fromiter((pts for _, pts, *_ in _records(path)), dtype=np.int64)


def _reordering(times: np.ndarray) -> int:
    """By how many places a frame is decoded before or after its turn, at most, of presentation times (N,)."""
    rank = np.empty(len(times), np.int64)
    rank[np.argsort(times)] = np.arange(len(times))
    return int((np.arange(len(times)) - rank).max(initial=0))


def _records(path: Path) -> Iterator[tuple[int, int, int, int, bool, BinaryIO]]:
    """For each packet of a segment its record, and the file, standing where the packet's content begins."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise VideoError(f"{path} is not a segment: give the same command again, and it is made anew")
        while head := file.read(_RECORD.size):
            if len(head) < _RECORD.size:
                raise _ends_early(path)
            size, pts, dts, duration, is_key = _RECORD.unpack(head)
            begin = file.tell()
            yield size, pts, dts, duration, is_key, file
            file.seek(begin + size)


def _ends_early(path: Path) -> VideoError:
    return VideoError(f"{path} ends early: give the same command again, and it is made anew")
