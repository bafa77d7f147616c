"""Timestamps that rise: what a file's timestamps become where they are missing, fall back or are far out of line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from av import VideoFrame


def in_time(decoded: Iterable[VideoFrame], usual_step: int = 1) -> Iterator[tuple[VideoFrame, int, bool]]:
    """Each frame in its order with a strictly rising pts, and whether that is not the one that the file gives it.

    A timestamp is kept wherever it can be. One that is missing, or out of line with both its neighbours, is put
    between them. Where timestamps start again, as in files that were joined end to end, all that follow are moved by
    what puts the first of them one frame after the frame before. One frame is held back to look ahead. Frames that do
    not say how long they last, as in a stream without a container, last ``usual_step`` ticks.
    """
    clock = _Clock(usual_step)
    waiting: VideoFrame | None = None
    for frame in decoded:
        if waiting is not None:
            yield waiting, *clock.time(_stamp(waiting), _stamp(frame), waiting.duration)
        waiting = frame
    if waiting is not None:
        yield waiting, *clock.time(_stamp(waiting), None, waiting.duration)


def _stamp(frame: VideoFrame) -> int | None:
    return frame.pts if frame.pts is not None else frame.dts


class _Clock:
    """Gives each frame its pts, knowing those before it and the one after it."""

    def __init__(self, usual_step: int) -> None:
        self._last: int | None = None
        self._step = usual_step
        """Ticks between the last frames whose timestamps are the file's."""
        self._shift = 0
        """What timestamps are moved by since they started again."""

    def time(self, stamp: int | None, following: int | None, duration: int | None) -> tuple[int, bool]:
        """The pts of a frame that has ``stamp`` and lasts ``duration`` ticks, and whether it was made up."""
        last, step = self._last, duration or self._step
        if last is None:
            self._last = self._first(stamp, following, step)
            return self._last, self._last != stamp
        due = last + step
        pts, then = self._rising(stamp), self._rising(following)
        if pts is not None and then is not None and then <= pts and abs(then - due) < abs(pts - due):
            pts = None  # a stray one: the next is where this ought to be
        if pts is None:
            if stamp is not None and following is not None and then is None:
                self._shift, pts = due - stamp, due
            else:
                pts = due if then is None or due < then else last + max(1, (then - last) // 2)
        elif pts == stamp:
            self._shift = 0
        made_up = pts != stamp
        if not made_up:
            self._step = pts - last
        self._last = pts
        return pts, made_up

    @staticmethod
    def _first(stamp: int | None, following: int | None, step: int) -> int:
        """The pts of the first frame: its own, or before the ``following``, but not below zero for that alone."""
        if following is None:
            return stamp or 0
        if stamp is not None and stamp < following:
            return stamp
        return following - step if following < 0 else max(following - step, 0)

    def _rising(self, stamp: int | None) -> int | None:
        """``stamp``, moved where that is needed to lie after the last frame; None where it does not."""
        if stamp is None or self._last is None:
            return None
        return next((moved for moved in (stamp, stamp + self._shift) if moved > self._last), None)
