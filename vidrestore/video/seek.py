"""Single frames of a video by their exact timestamp, for previews and contact sheets."""

from __future__ import annotations

import logging
from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av
import numpy as np

from vidrestore.errors import VideoError
from vidrestore.types import Frame, Image
from vidrestore.video.picture import StoredPicture, picture_from_rgb
from vidrestore.video.probe import main_stream, open_source, time_base_of
from vidrestore.video.read import SEEKABLE_FORMATS, Decoder, DecodeReport, decode_from, read_frames
from vidrestore.video.refit import Fitting

_LOG = logging.getLogger(__name__)
_PROBES = 3
_LONGER_SOUND_SECONDS = 60
"""By how much the sound of a short film may outlast its pictures, and its header be believed."""
_BLOCK = 16
_PLAIN_CONVERSION_LEVELS = 5.0
"""By how much FFmpeg's fast conversion to RGB may change the mean of a block, in levels of 0..255."""


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """What demuxing tells of a stream: its timestamps, and whether they can be sought by simple readers."""

    pts: tuple[int, ...]
    """Of all frames that are shown, rising."""
    complete: bool
    """Whether every packet has a timestamp and no two share one."""
    open_gop: bool
    """Whether a frame that is decoded after a key frame is shown before it."""
    hidden: bool
    """Whether an edit list hides packets or moves the start."""
    overstated: bool
    """Whether the header claims a length far beyond the last frame."""
    uneven: bool
    """Whether a packet is damaged, or comes with new parameters such as another size."""

    @property
    def objection(self) -> str | None:
        """Why decord must not read this stream; None where it may."""
        if self.open_gop or self.hidden:
            return "open groups of pictures, an edit list or a start offset, which decord reads wrongly"
        if self.overstated:
            return "the header claims a length that the file does not have, for which decord would take memory"
        if self.uneven:
            return "packets are damaged or change the picture's size on the way"
        return None


class _Reader(Protocol):
    def frame_at(self, pts: int) -> Frame: ...

    def close(self) -> None: ...


class RandomAccess:
    """Frames of one video by pts, in any order: exactly the frames that ``read_frames`` gives.

    ``pts`` lists what there is, rising. ``served_by`` says which library reads and why; it is logged, too. Where
    decord reads, the pictures are RGB by FFmpeg's plain conversion: right for looking at, not for writing.
    """

    def __init__(self, pts: tuple[int, ...], reader: _Reader, served_by: str) -> None:
        """Made by ``open_random_access``."""
        self.pts = pts
        self.served_by = served_by
        self._reader = reader
        _LOG.info("frames served by %s", served_by)

    def frame_at(self, pts: int) -> Frame:
        """The frame with this pts.

        Raises:
            VideoError: there is none, or it cannot be decoded.

        """
        place = bisect_left(self.pts, pts)
        if place == len(self.pts) or self.pts[place] != pts:
            raise VideoError(f"there is no frame with pts {pts}")
        return self._reader.frame_at(pts)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_random_access(path: Path) -> RandomAccess:
    """Index a video for access by pts, without decoding it where its container can be sought exactly.

    decord is used where it is installed and proven to give the same pictures: a container that is sought exactly,
    no rotation, no edit list, closed groups of pictures, no damaged packet, the same number of frames, and three
    frames that are equal to PyAV's. Otherwise PyAV seeks, or decodes from the start.

    Raises:
        VideoError: the file cannot be opened or has no decodable frames.

    """
    index, format_name = _index(path)
    if format_name not in SEEKABLE_FORMATS or not index.complete:
        pts = tuple(frame.pts for frame in read_frames(path))
        served_by = _sought_by(format_name)
        if format_name in SEEKABLE_FORMATS:
            served_by = "pyav: packets lack times of their own, so frames are decoded from the start"
        return RandomAccess(pts, _Sequential(path), served_by)
    if not index.pts:
        raise VideoError(f"{path} contains no decodable frames")
    seeker = _Seeker(path)
    try:
        reader, why = _open_decord(path, index, seeker)
    except BaseException:
        seeker.close()
        raise
    if reader is None:
        return RandomAccess(index.pts, seeker, f"pyav: {why}")
    seeker.close()
    return RandomAccess(index.pts, _UntilItFails(path, reader), f"decord: {why}")


def single_frames_served_by(path: Path) -> str:
    """Which library reads a single frame of a video, and how; it is logged, too.

    It is PyAV, as ``read_frames`` uses it: to prove decord takes longer than to seek a few frames.

    Raises:
        VideoError: the file cannot be opened.

    """
    with open_source(path) as container:
        served_by = _sought_by(container.format.name)
    _LOG.info("frames served by %s", served_by)
    return served_by


def _sought_by(format_name: str) -> str:
    if format_name in SEEKABLE_FORMATS:
        return "pyav: sought from the key frame before it"
    return f"pyav: {format_name} cannot be sought exactly, so frames are decoded from the start"


def _index(path: Path) -> tuple[PacketIndex, str]:
    """Timestamps of all packets, and the name of the container's format."""
    with open_source(path) as container:
        stream = main_stream(container, path)
        shown: list[int] = []
        complete, open_gop, hidden, uneven = True, False, bool(stream.start_time), False
        key_pts: int | None = None
        for packet in Decoder(container, stream, DecodeReport()).packets():
            if not packet.size:
                continue
            uneven |= packet.is_corrupt or packet.has_sidedata("new_extradata")
            if packet.is_discard:
                hidden = True
                continue
            if packet.pts is None:
                complete = False
                continue
            if packet.is_keyframe:
                key_pts = packet.pts
            open_gop |= key_pts is not None and packet.pts < key_pts
            shown.append(packet.pts)
        pts = tuple(sorted(set(shown)))
        claimed = Fraction(container.duration or 0, av.time_base)
        lasting = (pts[-1] - pts[0]) * time_base_of(stream) if pts else Fraction(0)
        overstated = claimed > 2 * lasting + _LONGER_SOUND_SECONDS
        index = PacketIndex(pts, complete and len(pts) == len(shown), open_gop, hidden, overstated, uneven)
        return index, container.format.name


class _Seeker:
    """Exact seeking with PyAV."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._exits = ExitStack()
        container = self._exits.enter_context(open_source(path))
        stream = main_stream(container, path)
        self._time_base = time_base_of(stream)
        self._decoder = Decoder(container, stream, DecodeReport())
        self._fitting = Fitting(stream)
        first = next(self._decoder.decode(), None)
        if first is None:
            raise VideoError(f"{path} contains no decodable frames")
        self._fitting.fit(first, 0.0)  # the others are made to fit it

    def frame_at(self, pts: int) -> Frame:
        decoded = next(decode_from(self._path, self._decoder, pts), None)
        if decoded is None or decoded.pts != pts:
            raise VideoError(f"the frame with pts {pts} of {self._path} cannot be decoded")
        return Frame(pts, self._time_base, self._fitting.fit(decoded, float(pts * self._time_base)))

    def close(self) -> None:
        self._exits.close()


class _Sequential:
    """Decoding forward, and from the start for an earlier frame, for files that cannot be sought."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = read_frames(path)
        self._passed: int | None = None

    def frame_at(self, pts: int) -> Frame:
        if self._passed is not None and pts <= self._passed:
            self._frames = read_frames(self._path)
        for frame in self._frames:
            self._passed = frame.pts
            if frame.pts == pts:
                return frame
        raise VideoError(f"the frame with pts {pts} of {self._path} cannot be decoded")

    def close(self) -> None:
        """The file is closed with the frames that were being read."""
        self._frames = iter(())


class _DecordReader:
    """Seeking with decord, by the place of a pts in the index."""

    def __init__(self, reader: Any, pts: tuple[int, ...], time_base: Fraction) -> None:
        self._reader = reader
        self._pts = pts
        self._time_base = time_base

    def frame_at(self, pts: int) -> Frame:
        image = np.asarray(self._reader[bisect_left(self._pts, pts)].asnumpy(), dtype=np.uint8)
        return Frame(pts, self._time_base, picture_from_rgb(image, pixel_format="rgb24"))

    def close(self) -> None:
        self._reader = None


class _UntilItFails:
    """decord until it fails, as it does near damaged packets, and PyAV from there on."""

    def __init__(self, path: Path, reader: _DecordReader) -> None:
        self._path = path
        self._reader: _Reader = reader

    def frame_at(self, pts: int) -> Frame:
        if isinstance(self._reader, _DecordReader):
            try:
                return self._reader.frame_at(pts)
            except Exception as error:  # decord raises its own and plain errors alike
                _LOG.info("frames served by pyav from pts %d on: decord failed: %s", pts, error)
                self._reader.close()
                self._reader = _Seeker(self._path)
        return self._reader.frame_at(pts)

    def close(self) -> None:
        self._reader.close()


def decord_version() -> str:
    """The version of decord; raises whatever loading it raises where it does not work here."""
    import decord

    return str(decord.__version__)


def _open_decord(path: Path, index: PacketIndex, seeker: _Seeker) -> tuple[_DecordReader | None, str]:
    """A decord reader that has been proven, or None; and why."""
    if index.objection is not None:
        return None, index.objection
    places = sorted({round(step * (len(index.pts) - 1) / (_PROBES - 1)) for step in range(_PROBES)})
    expected = [seeker.frame_at(index.pts[place]) for place in places]
    pictures = [frame.picture for frame in expected if isinstance(frame.picture, StoredPicture)]
    if any(picture.rotation for picture in pictures):
        return None, "the picture is rotated"
    try:
        import decord  # optional, and slow to import

        reader = decord.VideoReader(str(path.resolve()), num_threads=1)  # no name that looks like an address
        found = _DecordReader(reader, index.pts, expected[0].time_base)
        same_count = len(reader) == len(index.pts)
        equal = same_count and all(
            _same_picture(found.frame_at(frame.pts).image, picture)
            for frame, picture in zip(expected, pictures, strict=True)
        )
    except ImportError:
        return None, "decord is not installed"
    except Exception as error:  # decord raises its own and plain errors alike
        return None, f"decord failed: {error}"
    if not equal:
        return None, "decord's pictures differ" if same_count else f"decord counts {len(reader)} frames"
    return found, f"its frames {', '.join(map(str, places))} are equal to PyAV's"


def _same_picture(image: Image, picture: StoredPicture) -> bool:
    """Whether decord's RGB is FFmpeg's plain conversion of this very picture, and near to the accurate one.

    The first proves that decord found the same frame, the second that the plain conversion guesses its matrix and
    range right.
    """
    plain = picture.stored.to_ndarray(format="rgb24")
    if not np.array_equal(image, plain):
        return False
    rows, columns = (size // _BLOCK for size in image.shape[:2])
    difference = (
        plain.astype(np.int16)[: rows * _BLOCK, : columns * _BLOCK] - picture.rgb()[: rows * _BLOCK, : columns * _BLOCK]
    )
    means = difference.reshape(rows, _BLOCK, columns, _BLOCK, 3).mean(axis=(1, 3))
    return bool(np.abs(means).max(initial=0) < _PLAIN_CONVERSION_LEVELS)
