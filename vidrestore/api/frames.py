"""From decoded frames to restored ones: the parts of a run, built from settings and connected."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from vidrestore.api.analyze import AHEAD
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.gating import Gate
from vidrestore.interlacing import Restore, restored_deinterlaced, restored_woven
from vidrestore.restoration import Tally, encode_people, restore_frames
from vidrestore.threads import prefetch
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Frame, Restorer, Span, Timeline
from vidrestore.video import DecodeReport, marked, read_frames

_GPU_BATCH = 8


def gate_of(analysis: Analysis, settings: Settings) -> Gate | None:
    """The gate, which looks at faces with the networks that found them; None where it is switched off."""
    if not settings.gate.enabled:
        return None
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    return Gate(detector, analysis.identities, settings.gate)


def restored_frames(
    source: Path,
    analysis: Analysis,
    span: Span,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    report: DecodeReport,
    on_decoded: Callable[[Frame], None] | None = None,
    *,
    eager_frames: int = 0,
) -> Generator[Frame]:
    """Decode, restore, one stage ahead of who takes the frames; ``on_decoded`` sees each frame before it is changed.

    ``eager_frames`` is that of ``restoration.restore_frames``. Where interlaced video is to be deinterlaced, there are
    twice as many frames, in half the time base.
    """
    decoded = read_frames(source, span, report=report)
    restored = all_restored(decoded, analysis, restorer, gate, settings, tally, on_decoded, eager_frames=eager_frames)
    return prefetch(restored, AHEAD)


def all_restored(
    decoded: Iterator[Frame],
    analysis: Analysis,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    on_decoded: Callable[[Frame], None] | None,
    *,
    eager_frames: int = 0,
    batch_starts: Sequence[Fraction] = (),
) -> Iterator[Frame]:
    """``decoded`` frames, taken one stage ahead, with their faces restored, as the frames of the output."""
    frames: Iterable[Frame] = marked(prefetch(decoded, AHEAD), analysis.scan)
    if on_decoded is not None:
        frames = _shown(frames, on_decoded)
    timeline = build_timeline(analysis, settings.fading)
    restore = _restoring(analysis, restorer, gate, settings, tally, eager_frames, batch_starts)
    return _in_output_time(frames, timeline, analysis, settings, restore, tally)


def _in_output_time(
    frames: Iterable[Frame],
    timeline: Timeline,
    analysis: Analysis,
    settings: Settings,
    restore: Restore,
    tally: Tally,
) -> Iterator[Frame]:
    if settings.restoration.deinterlace and analysis.scan.is_interlaced:
        return restored_deinterlaced(frames, timeline, analysis, restore)
    return restored_woven(frames, timeline, analysis, restore, tally)


def faces_restored(
    frames: Iterable[Frame],
    analysis: Analysis,
    timeline: Timeline,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    *,
    eager_frames: int = 0,
) -> Iterator[Frame]:
    """``frames`` with the faces of ``timeline`` restored as ``settings`` say, as the people of ``analysis``."""
    restore = _restoring(analysis, restorer, gate, settings, tally, eager_frames)
    return restored_woven(frames, timeline, analysis, restore, tally)


def _restoring(
    analysis: Analysis,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    eager_frames: int,
    batch_starts: Sequence[Fraction] = (),
) -> Restore:
    """``restoration.restore_frames`` with all but the frames and their faces."""
    chosen = settings.restoration

    def restore(frames: Iterable[Frame], timeline: Timeline) -> Iterator[Frame]:
        return restore_frames(
            frames,
            timeline,
            restorer,
            encode_people(restorer, analysis.identities, chosen.mode),
            chosen.mode,
            chosen.batch or (1 if restorer.device == "cpu" else _GPU_BATCH),
            chosen.strength,
            tally,
            gate,
            settings.fusion,
            eager_frames=eager_frames,
            batch_starts=batch_starts,
        )

    return restore


def _shown(frames: Iterable[Frame], on_decoded: Callable[[Frame], None]) -> Iterator[Frame]:
    for frame in frames:
        on_decoded(frame)
        yield frame


def first_frame(source: Path, analysis: Analysis, span: Span, settings: Settings) -> Frame:
    """The first frame of the output before its faces are restored: what the encoder goes by."""

    def untouched(frames: Iterable[Frame], _: Timeline) -> Iterator[Frame]:
        yield from frames

    decoded = marked(read_frames(source, span), analysis.scan)
    return next(_in_output_time(decoded, Timeline(), analysis, settings, untouched, Tally()))
