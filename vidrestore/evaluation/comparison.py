"""Compare any number of restored videos with the truth: from files to figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrestore.api import analyze_video
from vidrestore.config import FacesSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.evaluation.judge import AUTO, choose_pack, driver_of, is_own
from vidrestore.evaluation.lpips import Lpips
from vidrestore.evaluation.measurement import Measurement, check_alike, measure_videos
from vidrestore.evaluation.summary import summarise
from vidrestore.types import Notice, Progress
from vidrestore.video import probe

JUDGED = Settings(faces=FacesSettings(pack=AUTO))
"""The default settings, with the choice of the pack left to the comparison."""
_SHAPE_TOLERANCE = 0.02
"""Relative difference of aspect ratios that cropping to even sizes explains."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Restored videos against the truth."""

    summary: dict[str, Any]
    """What ``eval --json`` prints."""
    measured: Measurement
    """What it is made of."""


def compare_videos(
    truth: Path | str,
    source: Path | str,
    outputs: Sequence[Path | str],
    *,
    settings: Settings = JUDGED,
    work: Path | str | None = None,
    lpips: Path | str | None = None,
    on_progress: Callable[[Progress | Notice], None] = lambda _: None,
) -> Comparison:
    """Measure ``outputs``, restored from the input ``source`` by whatever tool, against ``truth``.

    Args:
        truth: The original. Its analysis says who is where.
        source: The input that was restored.
        outputs: Videos of the same size and frames as the input.
        settings: Of the analysis; ``faces.pack`` judges, and ``auto`` takes the best pack at hand that drove none of
            the outputs.
        work: Folder of the truth's analysis; by default ``NAME.vidrestore`` beside the truth.
        lpips: ONNX file of a perceptual distance, see :class:`vidrestore.evaluation.lpips.Lpips`.
        on_progress: Called after every frame.

    Raises:
        ConfigError: no outputs.
        VideoError: a video cannot be read, or they differ in size or number of frames.
        WeightsError: the pack or the LPIPS network is missing or damaged.
        AnalysisError: ``work`` holds the analysis of another video, or cannot be written.
    """
    if not outputs:
        raise ConfigError("there is no output to compare: name at least one restored video")
    truth, source, restored = Path(truth), Path(source), [Path(output) for output in outputs]
    distance = None if lpips is None else Lpips(Path(lpips))
    check_alike(truth, source, restored)
    drivers = [driver_of(output) for output in restored]
    pack = choose_pack(drivers) if settings.faces.pack == AUTO else settings.faces.pack
    settings = dataclasses.replace(settings, faces=dataclasses.replace(settings.faces, pack=pack))
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    judge = f"{detector.name} ({detector.licence})"
    analysis = analyze_video(truth, settings=settings, work=work, on_progress=on_progress)
    measured = measure_videos(truth, source, restored, analysis, detector, distance, on_progress)
    summary = summarise(measured)
    for video, path in zip((summary["truth"], summary["input"]), (truth, source), strict=True):
        video["path"] = str(path)
    for output, path, driver in zip(summary["outputs"], restored, drivers, strict=True):
        output |= {"path": str(path), "faces_found_by": driver, "judged_by_its_own_pack": is_own(judge, driver)}
    summary |= {"judge": judge, "lpips_network": None if distance is None else distance.name}
    summary["warnings"] = [*_warnings(truth, source, summary), *analysis.warnings]
    return Comparison(summary, measured)


def _warnings(truth: Path, source: Path, summary: dict[str, Any]) -> list[str]:
    """What a reader of the figures has to know."""
    found = []
    original, restored = probe(truth), probe(source)
    sizes = f"the truth is {original.width}x{original.height} and the input {restored.width}x{restored.height}"
    stretched = original.width * restored.height / (original.height * restored.width)
    if abs(stretched - 1) > _SHAPE_TOLERANCE:
        found.append(f"{sizes}: the truth was stretched to fit, which is wrong unless its pixels are not square")
    if original.width < restored.width or original.height < restored.height:
        found.append(f"{sizes}: the truth was enlarged, so sharpness and detail say little")
    if not summary["faces"]:
        found.append("no face of the truth is large enough to be measured")
    elif summary["input"]["identity"] is None:
        found.append(f"{summary['judge']} has no network for identities, so identity, its drift and harm are missing")
    for output in summary["outputs"]:
        if output["judged_by_its_own_pack"]:
            found.append(
                f"{output['path']} was restored with {output['faces_found_by']}, which judges it, too: identity and "
                "landmarks may flatter it; name another pack with --faces"
            )
    return found
