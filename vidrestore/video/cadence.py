"""Film with 3:2 pulldown: where in a video four frames of film are five of video, the fields of which repeat.

Film at 24 frames a second becomes interlaced video at 30 by showing its frames for two and three fields in turn. Of
five frames of video (a cycle) with the first fields A B B C D and the second fields A B C D D, those of the third and
fourth are of two frames of film each. FFmpeg's idet tells which field of a frame repeats that of the frame before: in
each cycle the first field of the third frame, and the second field of the fifth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vidrestore.types import Frame, Scan
from vidrestore.video.filtering import FrameFilter
from vidrestore.video.picture import StoredPicture

CYCLE: Final = 5
"""Frames of video in a cycle."""
FILM_FIELDS: Final = ((0, 1), (2, 3, 4), (5, 6), (7, 8, 9))
"""Which of the ten fields of a cycle, in order of time, are of each of its frames of film."""
_REPEATS: Final = ("", "", "first", "", "second")
_LEAST_CYCLES: Final = 3
"""So many in a row are certain: half a second in which fields repeat where they must, and nowhere else."""


class CadenceFinder:
    """Looks at interlaced frames as they pass, and finds the cycles among them."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._pts: list[int] = []
        self._repeats: list[str] = []
        order = ("first", "second") if scan.top_first else ("second", "first")
        self._meaning = {"neither": "", "top": order[0], "bottom": order[1]}

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """``frames`` as they come; looked at where they are interlaced."""
        if not self._scan.is_interlaced:
            yield from frames
            return
        idet: FrameFilter | None = None
        for frame in frames:
            assert isinstance(frame.picture, StoredPicture)
            stored = frame.picture.stored
            idet = idet or FrameFilter("idet", "", stored)
            self._pts.append(frame.pts)
            self._repeats += [self._repeat(seen.metadata) for seen in idet.push(stored)]
            yield frame
        if idet is not None:
            self._repeats += [self._repeat(seen.metadata) for seen in idet.push(None)]

    def cycles(self) -> tuple[int, ...]:
        """The pts of the first frame of each certain cycle, rising; known when all frames have passed."""
        found: list[int] = []
        start = 0
        while start + CYCLE <= len(self._repeats):
            end = start
            while _fits(self._repeats[end : end + CYCLE]):
                end += CYCLE
            if end - start >= _LEAST_CYCLES * CYCLE:
                found += self._pts[start:end:CYCLE]
                start = end
            else:
                start += 1
        return tuple(found)

    def _repeat(self, metadata: dict[str, str]) -> str:
        return self._meaning[metadata["lavfi.idet.repeated.current_frame"]]


def _fits(repeats: Sequence[str]) -> bool:
    """Whether frames can be a cycle, and look like one: grain may hide one of the two repeats."""
    return (
        len(repeats) == CYCLE
        and any(repeats)
        and all(seen in ("", due) for seen, due in zip(repeats, _REPEATS, strict=True))
    )
