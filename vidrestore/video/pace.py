"""Times of copied packets: kept as they are, and made to rise where they do not, as muxers demand."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from av import Packet
from av.stream import Stream

from vidrestore.video.probe import fraction, time_base_of

_MOST_HELD = 32
"""Packets without a decoding time that are held back for the first that has one; no codec reorders more frames."""
_RESTART_SECONDS = Fraction(1, 2)
"""A decoding time that falls back further belongs to another recording, joined end to end."""


class Pace:
    """Gives the packets of one stream decoding times that rise.

    Presentation times stay, unless they are missing, lie before the decoding time, or start again.
    """

    def __init__(self, target: Stream, *, strict: bool) -> None:
        """Time packets for ``target``; ``strict`` muxers take no two packets with one decoding time."""
        self.repaired = 0
        """Packets whose presentation time was missing or could not stay."""
        self._target = target
        self._least_step = int(strict)
        self._held: list[Packet[Stream]] = []
        self._last: int | None = None
        self._due = 0
        """When the packet after the last one ought to be decoded."""
        self._shift = 0
        """What times are moved by since they started again."""

    def timed(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """The packets that can be written now, in order.

        Matroska tells no decoding times, and FFmpeg cannot tell those of a stream's first frames where later ones are
        shown before them: they are counted back from the first that is known.
        """
        starts = self._last is None and self._target.type == "video"
        if starts and packet.dts is None and packet.pts is not None and len(self._held) < _MOST_HELD:
            self._held.append(packet)
            return []
        return self._release(packet)

    def rest(self) -> list[Packet[Stream]]:
        """The packets that were held back to the end."""
        return self._release(self._held.pop()) if self._held else []

    def _release(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        known = packet.dts if packet.dts is not None else packet.pts
        step = packet.duration or 1
        for places, held in enumerate(reversed(self._held), start=1):
            assert known is not None
            held.dts = known - places * step
        ready, self._held = [*self._held, packet], []
        for one in ready:
            self._time(one)
        return ready

    def _time(self, packet: Packet[Stream]) -> None:
        base = fraction(packet.time_base) or time_base_of(self._target)
        unit = fraction(self._target.time_base) or base
        given = packet.pts
        told = packet.dts if packet.dts is not None else self._due if self._reorders(packet) else given
        dts = self._rising(told, base, unit)
        if told is not None:
            packet.pts = None if given is None else given + self._shift
        packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        packet.dts = dts
        self.repaired += packet.pts != given
        self._last, self._due = dts, dts + (packet.duration or 1)

    def _reorders(self, packet: Packet[Stream]) -> bool:
        """Whether a packet without a decoding time is one of a stream that has had them."""
        return self._last is not None and (packet.pts is None or self._target.type == "video")

    def _rising(self, told: int | None, base: Fraction, unit: Fraction) -> int:
        """The decoding time of a packet that ``told`` it, in ticks of ``base``; muxers round it to ``unit``."""
        if self._last is None:
            return told or 0
        least = _near(self._last * base / unit) + self._least_step
        if told is None:
            return max(self._due, ceil(least * unit / base))
        for shift in (0, self._shift):
            if _near((told + shift) * base / unit) >= least and told + shift >= self._last:
                self._shift = shift
                return told + shift
        if (self._last - told) * base > _RESTART_SECONDS:
            self._shift = self._due - told
            return self._due
        self._shift = 0
        return max(self._last, ceil(least * unit / base))


def _near(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
