"""Interlaced frames: taken apart into moments, shown without combs, and put together again.

A frame of interlaced video is two pictures, taken half a frame apart, of which each has every second line. What a
network is to see, or a tracker, is one of them, its missing lines filled in from its neighbours in time and in the
frame by FFmpeg's bwdif, which leaves the lines that are there as they are. Where film has become video (see
``cadence``), nothing is missing: the fields of a frame of film are put together. What is added to such a picture is
added to the stored lines of its moment alone, so the frame stays interlaced, and keeps every bit that is not a face.

The times of moments are counted in halves of the stream's time base: that of a first field is twice the frame's pts,
that of a second one an odd number of halves later, which depends on nothing but the stream's rate. So the two kinds
cannot be confused, and a timeline can be made without the frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from av import VideoFrame

from vidrestore.types import Floats, Frame, Image, Scan
from vidrestore.video.cadence import CYCLE, FILM_FIELDS
from vidrestore.video.filtering import FrameFilter
from vidrestore.video.picture import StoredPicture


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """A frame and the pictures of its two fields, in order of time, each of full height."""

    frame: Frame
    first: StoredPicture
    second: StoredPicture


class FieldPicture:
    """The ``Picture`` of one moment: shown at full height, and changed in the stored lines of that moment alone."""

    def __init__(self, lines: Sequence[tuple[Frame, int]], shown: StoredPicture) -> None:
        """The fields of ``lines``, each of a frame and with its parity (0 is the top one), to be seen as ``shown``."""
        self._fields = [_Lines(_stored(frame), parity) for frame, parity in lines]
        self.shown = shown
        self.completes: list[Frame] = []
        """Frames of which this is the last field."""

    @property
    def width(self) -> int:
        """Pixels, as shown."""
        return self.shown.width

    @property
    def height(self) -> int:
        """Pixels, as shown."""
        return self.shown.height

    def rgb(self) -> Image:
        """The moment at full height: read-only RGB uint8 ``(height, width, 3)``."""
        return self.shown.rgb()

    def add(self, left: int, top: int, difference: Floats) -> None:
        """Add to each field its lines of ``difference`` float32 ``(h, w, 3)``, and all of it to what is shown.

        As :meth:`StoredPicture.add`; chroma that a block of lines shares is that of lines of the field.
        """
        for field in self._fields:
            field.add(left, top, difference)
        self.shown.add(left, top, difference)


class _Lines:
    """Every second line of a stored picture."""

    def __init__(self, whole: StoredPicture, parity: int) -> None:
        self._whole, self._parity = whole, parity
        self._lines = whole.field(parity)

    def add(self, left: int, top: int, difference: Floats) -> None:
        x, y, stored = self._whole.turned_back(left, top, difference)
        skipped = (self._parity - y) % 2
        self._lines.add_stored(x, (y + skipped) // 2, stored[skipped::2])


def mark(frame: Frame, scan: Scan) -> Frame:
    """``frame``, whose picture shows its first field where the frame is interlaced."""
    if scan.is_interlaced and isinstance(frame.picture, StoredPicture):
        frame.picture.first_field = _first_parity(scan)
    return frame


def marked(frames: Iterable[Frame], scan: Scan) -> Iterator[Frame]:
    """``frames``, whose pictures show their first fields where ``scan`` says that they are interlaced."""
    return (mark(frame, scan) for frame in frames)


def without_combs(frames: Iterable[Frame], scan: Scan) -> Iterator[Frame]:
    """``frames`` to look at: of interlaced ones, their first fields at full height, with the frame's time."""
    if not scan.is_interlaced:
        yield from frames
        return
    for apart in _taken_apart(frames, scan):
        yield Frame(apart.frame.pts, apart.frame.time_base, apart.first)


def fields_of(frames: Iterable[Frame], scan: Scan, second_after: int, film_cycles: Container[int]) -> Iterator[Frame]:
    """The moments of interlaced ``frames`` one by one; ``completed_by`` tells when a frame has all of its own.

    A moment is a field; in ``film_cycles``, by the pts of their first frames, it is a frame of film, which has its two
    or three fields in one or two frames of video, and the time of the first of these that is a first field.
    ``second_after`` is the time from a first field to the second in halves of the time base; see ``half_frame``.
    """
    cycle: list[Frame] = []
    for apart in _taken_apart(frames, scan):
        if cycle or apart.frame.pts in film_cycles:
            cycle.append(apart.frame)
            if len(cycle) == CYCLE:
                yield from _film(cycle, scan)
                cycle = []
        else:
            yield from _two_fields(apart, scan, second_after)
    if cycle:  # of which the end is not wanted
        for apart in _taken_apart(cycle, scan):
            yield from _two_fields(apart, scan, second_after)


def _two_fields(apart: Apart, scan: Scan, second_after: int) -> Iterator[Frame]:
    """The two fields of a frame."""
    parity, frame = _first_parity(scan), apart.frame
    pts, half = 2 * frame.pts, frame.time_base / 2
    yield Frame(pts, half, FieldPicture([(frame, parity)], apart.first))
    second = FieldPicture([(frame, 1 - parity)], apart.second)
    second.completes.append(frame)
    yield Frame(pts + second_after, half, second)


def _film(cycle: Sequence[Frame], scan: Scan) -> Iterator[Frame]:
    """The four frames of film of five frames of video."""
    first = _first_parity(scan)
    for places in FILM_FIELDS:
        lines = [(cycle[place // 2], (first + place) % 2) for place in places]
        picture = FieldPicture(lines, _woven_picture(lines))
        picture.completes += [cycle[place // 2] for place in places if place % 2]
        begins = next(cycle[place // 2] for place in places if place % 2 == 0)
        yield Frame(2 * begins.pts, begins.time_base / 2, picture)


def _woven_picture(lines: Sequence[tuple[Frame, int]]) -> StoredPicture:
    """A picture with the lines of the first two of some fields, which are of either parity."""
    source = _stored(lines[0][0])
    woven = VideoFrame(source.stored.width, source.stored.height, source.layout.name)
    picture = StoredPicture(woven, rotation=source.rotation, color=source.color)
    for frame, parity in lines[:2]:
        own, other = picture.field(parity), _stored(frame).field(parity)
        for component in picture.layout.components:
            own.codes(component)[...] = other.codes(component)
    return picture


def completed_by(moment: Frame) -> list[Frame]:
    """The frames that ``fields_of`` took apart, of which ``moment`` has the last field."""
    assert isinstance(moment.picture, FieldPicture)
    return moment.picture.completes


def progressive(moments: Iterable[Frame]) -> Iterator[Frame]:
    """What the moments of ``fields_of`` show, as pictures that may be written."""
    for moment in moments:
        assert isinstance(moment.picture, FieldPicture)
        yield Frame(moment.pts, moment.time_base, moment.picture.shown)


def at_exact_times(pictures: Iterable[Frame], film_cycles: Container[int]) -> Iterator[Frame]:
    """The pictures of ``progressive``, evenly spread over the frames they are of, timed in a quarter of the time base.

    Those are one frame for two fields, and five frames for four frames of film. A group of pictures comes when the one
    after it has begun; the last one is as long, for each of its frames, as the one before.
    """
    group: list[Frame] = []
    frame_length = 0
    for picture in pictures:
        frames = _frames_of(group, film_cycles)
        if group and picture.pts % 2 == 0 and (frames == 1 or len(group) == len(FILM_FIELDS)):
            length = picture.pts - group[0].pts
            frame_length = length // frames
            yield from _spread(group, length)
            group = []
        group.append(picture)
    if group:
        guessed = 2 * (group[-1].pts - group[0].pts)
        yield from _spread(group, frame_length * _frames_of(group, film_cycles) or guessed)


def _frames_of(group: Sequence[Frame], film_cycles: Container[int]) -> int:
    """How many frames the pictures of a group are of: film has no second fields, which have an odd pts."""
    is_film = bool(group) and group[0].pts // 2 in film_cycles and not any(picture.pts % 2 for picture in group)
    return CYCLE if is_film else 1


def _spread(group: Sequence[Frame], length: int) -> Iterator[Frame]:
    for place, picture in enumerate(group):
        yield Frame(2 * group[0].pts + 2 * length * place // len(group), picture.time_base / 2, picture.picture)


def half_frame(time_base: Fraction, rate: Fraction | None) -> int:
    """Half the time between frames, an odd number of halves of ``time_base``, at least 1.

    ``rate`` is in frames a second; None where it is not known.
    """
    return 1 if not rate else round(1 / (rate * time_base)) | 1


def _first_parity(scan: Scan) -> int:
    return 0 if scan.top_first else 1


def _stored(frame: Frame) -> StoredPicture:
    assert isinstance(frame.picture, StoredPicture)
    return frame.picture


def _taken_apart(frames: Iterable[Frame], scan: Scan) -> Iterator[Apart]:
    """Each frame with its fields deinterlaced; a frame comes when the one after it is known."""
    waiting: deque[Frame] = deque()
    made: list[VideoFrame] = []
    order = "tff" if scan.top_first else "bff"
    bwdif: FrameFilter | None = None
    for frame in frames:
        stored = _stored(frame).stored
        bwdif = bwdif or FrameFilter("bwdif", f"mode=send_field:parity={order}:deint=all", stored)
        waiting.append(mark(frame, scan))
        made += bwdif.push(stored)
        while len(made) >= 2:
            yield _apart(waiting.popleft(), made.pop(0), made.pop(0))
    if bwdif is not None:
        made += bwdif.push(None)
    while waiting:
        yield _apart(waiting.popleft(), made.pop(0), made.pop(0))


def _apart(frame: Frame, *made: VideoFrame) -> Apart:
    source = _stored(frame)
    first, second = (StoredPicture(each, rotation=source.rotation, color=source.color) for each in made)
    return Apart(frame, first, second)
