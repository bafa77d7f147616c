"""Whether a video is interlaced: by what its frames look like, and by its flags where that does not tell.

Flags are often wrong: whole frames are flagged as interlaced, and combed ones as progressive. FFmpeg's idet says of
each frame whether its lines fit those of the frame before and after better than each other. Noise and stripes fool it
on some frames, but then both field orders come up; real fields follow each other in one order only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, dropwhile, islice, takewhile
from typing import Final

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from vidrestore.types import Scan, VideoInfo
from vidrestore.video.filtering import FrameFilter
from vidrestore.video.probe import main_stream, open_source, time_base_of
from vidrestore.video.read import Decoder, DecodeReport

_PLACES: Final = 6
"""Places of the video that are looked at, from its start on, evenly spread."""
_FRAMES_EACH: Final = 16
_COMBED: Final = 1.3
"""How many times better lines must fit those of another frame than those of their own before a frame is combed.
idet's own 1.04 takes hard compression, and video that was deinterlaced before, for combs."""
_MOST_SKIPPED: Final = 48
"""Frames that are decoded from a key frame on to come nearer to such a place."""
_LEAST_SIDE: Final = 16
"""Pixels; neither interlaced video nor the deinterlacer's pictures are smaller."""
_LEAST_FRAMES: Final = 6
"""So many frames must look interlaced, or whole, before that counts for more than the flags."""
_LEAST_COMBED: Final = 0.25
"""Share of the frames that tell which must be combed. Film with 3:2 pulldown has two combed frames in five."""
_ONE_ORDER: Final = 0.9
"""Share of the combed frames that must have the same field order."""
_WHOLE: Final = 0.95
"""Share of the frames that tell which must be whole where the flags say that they are interlaced."""
_TOP, _BOTTOM, _NO_ORDER = "top field first", "bottom field first", "interlaced"
_FLAGGED: Final = {"top_first": _TOP, "bottom_first": _BOTTOM}


def find_scan(video: VideoInfo) -> Scan:
    """Look at frames spread through a video and decide whether it is interlaced.

    Raises:
        VideoError: the file cannot be opened or has no video stream.

    """
    if min(video.width, video.height) < _LEAST_SIDE:
        return Scan(reason="too small to be interlaced")
    looks: dict[int, str] = {}
    flagged = _FLAGGED.get(video.field_order, "")
    with open_source(video.path) as container:
        for frames in _samples(container, main_stream(container, video.path), video.duration or 0):
            if not flagged and any(frame.interlaced_frame for frame in frames):
                flagged = _NO_ORDER
            looks.update(_looks(frames))
    return decide(Counter(looks.values()), flagged)


def decide(looks: Counter[str], flagged: str) -> Scan:
    """The scan of a video.

    Args:
        looks: How many of its frames look ``tff``, ``bff``, ``progressive`` or ``undetermined``.
        flagged: What its flags say: ``top field first``, ``bottom field first``, ``interlaced`` or nothing.

    """
    whole, top, bottom = looks["progressive"], looks["tff"], looks["bff"]
    combed, telling = max(top, bottom), whole + top + bottom
    seen = f"of {looks.total()} frames looked at"
    said = f"flagged as {flagged or 'progressive'}"
    if combed >= _LEAST_FRAMES and combed >= _ONE_ORDER * (top + bottom) and combed >= _LEAST_COMBED * telling:
        order = _TOP if top >= bottom else _BOTTOM
        return Scan("interlaced", order == _TOP, f"{order}: {combed} {seen} are combed, {said}")
    if not flagged:
        return Scan("progressive", reason=f"{said}, {top + bottom} {seen} seem combed")
    if telling >= _LEAST_FRAMES and whole >= _WHOLE * telling:
        return Scan("progressive", reason=f"{said}, but {whole} {seen} are whole and {top + bottom} combed")
    order = _BOTTOM if flagged == _BOTTOM else _TOP
    return Scan("interlaced", order == _TOP, f"{order}: {said}, {combed} {seen} are combed and {whole} whole")


def _samples(container: InputContainer, stream: VideoStream, seconds: float) -> Iterator[list[VideoFrame]]:
    """Runs of frames from places spread over the video; from its start alone where it cannot be sought."""
    length, first = int(seconds / time_base_of(stream)), stream.start_time or 0
    decoder = Decoder(container, stream, DecodeReport())
    for place in range(_PLACES if length else 1):
        target, skipped = first + length * place // _PLACES, count()
        if place:
            try:
                container.seek(target, stream=stream)
            except (av.FFmpegError, OverflowError):  # a header may claim any length
                return

        def is_early(frame: VideoFrame, target: int = target, skipped: Iterator[int] = skipped) -> bool:
            return frame.pts is not None and frame.pts < target and next(skipped) < _MOST_SKIPPED

        yield list(islice(dropwhile(is_early, decoder.decode()), _FRAMES_EACH))


def _looks(frames: Sequence[VideoFrame]) -> dict[int, str]:
    """What FFmpeg's idet says of each of consecutive frames, by pts."""
    if not frames:
        return {}
    idet, shape = FrameFilter("idet", f"intl_thres={_COMBED}", frames[0]), _shape(frames[0])
    alike = takewhile(lambda frame: _shape(frame) == shape, frames)
    seen = [picture for frame in (*alike, None) for picture in idet.push(frame)]
    return {picture.pts or 0: picture.metadata["lavfi.idet.single.current_frame"] for picture in seen}


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
