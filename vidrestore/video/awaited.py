"""Frames that never come: a file has a timestamp for them, and the decoder gives no picture."""

from __future__ import annotations

from heapq import heappop, heappush

from av import VideoFrame


class Awaited:
    """The timestamps of packets whose frames are still to come out of the decoder."""

    def __init__(self, since: int | None) -> None:
        """Those before the pts ``since`` are not waited for."""
        self._stamps: list[int] = []
        """A heap."""
        self._covered = since
        """What lies before is not missed: the last frame is shown until then."""

    def add(self, stamp: int) -> None:
        """A packet with this pts was given to the decoder."""
        heappush(self._stamps, stamp)

    def passed_by(self, frame: VideoFrame) -> list[int]:
        """The timestamps before ``frame`` that no frame came with."""
        if frame.pts is None:
            return []
        lost = []
        while self._stamps and self._stamps[0] <= frame.pts:
            stamp = heappop(self._stamps)
            if stamp < frame.pts and self._is_missed(stamp):
                lost.append(stamp)
        # The two fields of an interlaced frame may be packets of their own, and its duration that of one.
        self._covered = max(
            self._covered or frame.pts, frame.pts + (frame.duration or 0) * (1 + frame.interlaced_frame)
        )
        return lost

    def left(self) -> list[int]:
        """The timestamps that no frame came with by the end, rising."""
        return [stamp for stamp in sorted(self._stamps) if self._is_missed(stamp)]

    def _is_missed(self, stamp: int) -> bool:
        return self._covered is None or stamp >= self._covered
