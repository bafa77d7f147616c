"""How a restoration goes on where an earlier one of the same was interrupted."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidrestore.api.analyze import Listener
from vidrestore.api.provenance import differences
from vidrestore.config import Settings
from vidrestore.cuts import cuts_between, number_of, shots_within
from vidrestore.errors import VideoError
from vidrestore.journal import FORMAT_VERSION, Journal
from vidrestore.restoration import Tally
from vidrestore.types import Analysis, Frame, Notice, Span
from vidrestore.video import DecodeReport, Segment, is_intact, read_frames

_MARGIN_SECONDS = Fraction(1, 4)
"""Looked back at beyond what fusion and gate need: a deinterlacer looks at the frame before."""
_COUNTS = ("frames", "faces_restored", "faces_judged", "factors")
_REASONS = ("faces_held_back", "faces_kept")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What earlier runs have done, up to the end of a segment."""

    segments: tuple[Segment, ...] = ()
    tally: Tally = field(default_factory=Tally)
    last: Fraction | None = None
    """Seconds at which the last frame is shown; None where nothing is done."""
    decoding: tuple[str, ...] = ()
    """What was said of decoding so far; where there is nothing, decoding may begin anywhere."""
    warnings: tuple[str, ...] = ()
    """What else was said."""


class Continuation:
    """A run that is kept in ``journal`` while it goes, segment by segment.

    Every segment comes out the same whether the run began before it or with it: restoring begins a little earlier, by
    as much as a frame's neighbours weigh on it, and batches of faces begin anew there and at each segment.
    """

    def __init__(self, journal: Journal, analysis: Analysis, span: Span, zero: Fraction, settings: Settings) -> None:
        """Plan the segments of ``span``, which counts from ``zero`` seconds; ``open`` sees what of them is done."""
        longest = Fraction(settings.encoding.segment_seconds).limit_denominator(1000)
        base = analysis.video.time_base
        shots = analysis.shots
        if not span.whole:
            stop = None if span.stop is None else (zero + Fraction(span.stop)) / base
            shots = shots_within(shots, (zero + Fraction(span.start)) / base, stop)
        self.cuts = cuts_between(shots, base, longest)
        smoothing = settings.gate.smoothing_seconds if settings.gate.enabled else 0.0
        self._look_back = Fraction(settings.fusion.reach_seconds) + Fraction(smoothing) + _MARGIN_SECONDS
        self._journal, self._span, self._zero, self._tick = journal, span, zero, base
        self.done = Done()

    @property
    def batch_starts(self) -> tuple[Fraction, ...]:
        """Seconds at which a batch of faces begins anew."""
        return tuple(sorted({*self.cuts, *(cut - self._look_back for cut in self.cuts)}))

    @property
    def begin(self) -> Fraction | None:
        """Seconds at which the first segment begins that is not done; None where none is done, or all are."""
        number = self._number_done
        return self.cuts[number - 1] if 0 < number <= len(self.cuts) else None

    @property
    def look_back_to(self) -> Fraction | None:
        """Seconds from which on frames must be restored, so that those from ``begin`` on come out right."""
        return None if self.begin is None else self.begin - self._look_back

    @property
    def span_to_read(self) -> Span:
        """Seconds from ``zero`` that must be decoded."""
        if self.look_back_to is None or self.done.decoding:
            return self._span
        # Half a tick earlier, so that rounding seconds leaves out no frame.
        start = float(self.look_back_to - self._zero - self._tick / 2)
        return Span(max(self._span.start, start), self._span.stop)

    @property
    def is_complete(self) -> bool:
        """Whether only joining is left."""
        return self._number_done > len(self.cuts)

    def open(self, provenance: Mapping[str, Any], request: Mapping[str, Any], on_progress: Listener) -> list[str]:
        """Go on with what the journal holds, if it is of the same ``provenance``, or begin it anew.

        Args:
            provenance: All that decides the result.
            request: What is needed to call for the same again.
            on_progress: Is told what is done.

        Returns:
            A sentence where work was thrown away.

        """
        now = json.loads(json.dumps(provenance))
        header = self._journal.header
        changed = [] if header is None else differences(header["provenance"], now)
        if header is None or changed:
            lost = len(self._journal.entries)
            self._journal.begin({"format": FORMAT_VERSION, "request": dict(request), "provenance": now})
            said = [f"starting anew, because {'; '.join(changed)} ({lost} segments were done)"] if lost else []
        else:
            said = self._take_up()
            if self.done.segments:
                on_progress(Notice(f"continuing: {self._number_done} of {len(self.cuts) + 1} segments are done"))
        for sentence in said:
            on_progress(Notice(sentence))
        return said

    def number_of(self, frame: Frame) -> int:
        """In which segment ``frame`` is."""
        return number_of(frame, self.cuts)

    def add(
        self, segment: Segment, last: Frame, tally: Tally, *, decoding: Iterable[str], warnings: Iterable[str]
    ) -> None:
        """Note that a segment is done, which ends with the frame ``last``, and what there was to say until then.

        Raises:
            VideoError: the disk refuses.

        """
        counts = {name: getattr(tally, name) for name in _COUNTS}
        self._journal.add(
            {
                "number": self.number_of(last),
                "segment": dataclasses.asdict(segment),
                "last": str(last.pts * last.time_base),
                "tally": {**counts, **{name: dict(getattr(tally, name)) for name in _REASONS}},
                "decoding": list(decoding),
                "warnings": list(warnings),
            }
        )

    def decoded(self, source: Path, report: DecodeReport) -> Iterator[Frame]:
        """The frames of ``source`` that are not done, and before them those that weigh on them."""
        if self.is_complete:
            return iter(())
        begin = self.look_back_to
        frames = read_frames(source, self.span_to_read, report=report)
        return frames if begin is None else (frame for frame in frames if frame.pts * frame.time_base >= begin)

    def decoding_warnings(self, report: DecodeReport, frames: int) -> list[str]:
        """What there is to say of decoding ``frames`` frames in all, of which this run may have decoded a part."""
        if self.is_complete:
            return list(self.done.decoding)
        if self.span_to_read != self._span:
            report.frames = frames
            # Of the end of a whole file the analysis has told, with the number of frames that the file claims.
            report.truncated = report.truncated and not self._span.whole
        return report.warnings()

    def counted(self, frames: Iterable[Frame], tally: Tally) -> Iterator[tuple[Frame, Tally]]:
        """The frames that are not done yet, each with all that is counted up to it, earlier runs included.

        Raises:
            VideoError: the frames do not join on to those of the earlier run.

        """
        begin, before = self.begin, None
        tally.become(self.done.tally)
        for frame in frames:
            seconds = frame.pts * frame.time_base
            if begin is not None and seconds < begin:
                tally.become(self.done.tally)
                before = seconds
                continue
            if before not in (None, self.done.last):
                raise VideoError(
                    f"the frames of this run do not join on to those in {self._journal.folder}; delete it to start anew"
                )
            before = None
            yield frame, tally.copy()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Add to an interruption or an error what becomes of the work done."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._journal.entries:
                raise
            raise KeyboardInterrupt(f"interrupted; {self._left()}") from None
        except VideoError as error:
            if not self._journal.entries:
                raise
            raise VideoError(f"{error} ({self._left()})") from error

    @property
    def _number_done(self) -> int:
        return self._journal.entries[len(self.done.segments) - 1]["number"] + 1 if self.done.segments else 0

    def _left(self) -> str:
        of = f"{len(self._journal.entries)} of {len(self.cuts) + 1}"
        return f"{of} segments are kept in {self._journal.folder}; the same command goes on from there"

    def _take_up(self) -> list[str]:
        """Keep the segments of the journal up to the first that is not as it was written."""
        entries = self._journal.entries
        segments = [Segment(**entry["segment"]) for entry in entries]
        good = 0
        while good < len(segments) and is_intact(segments[good], self._journal.folder):
            good += 1
        self._journal.keep(good)
        if good:
            last = entries[good - 1]
            self.done = Done(
                segments=tuple(segments[:good]),
                tally=_tally(last["tally"]),
                last=Fraction(last["last"]),
                decoding=tuple(last["decoding"]),
                warnings=tuple(last["warnings"]),
            )
        return [f"{segments[good].name} is damaged: all is made anew from there"] if good < len(segments) else []


def _tally(values: Mapping[str, Any]) -> Tally:
    return Tally(**{**values, **{name: Counter(values[name]) for name in _REASONS}})
