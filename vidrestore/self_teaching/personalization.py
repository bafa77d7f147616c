"""A copy of the compact network, fine-tuned on the people of one clip.

It learns from some of the clip's own references, made smaller and as poor as the clip is, each restored with the others
of the same person. It is kept only where references that were held out come nearer to their truth than with the plain
weights. (Learning from one picture at several of its scales: Shocher et al. 2018, "Zero-shot super-resolution using
deep internal learning", CVPR.)
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vidrestore import __version__, store, weights
from vidrestore.api import RestoreResult, Witness, analyze_video, restore_video, work_folder
from vidrestore.api.analyze import WHOLE
from vidrestore.api.planning import check_output
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.restorers import WeightFile, find_weight_file
from vidrestore.restorers.compact import CompactRestorer, is_compact_file, load_network, save_compact
from vidrestore.self_teaching.clip_degradation import ClipDegradation, estimate_degradation
from vidrestore.self_teaching.expectation import examine
from vidrestore.self_teaching.lessons import Teacher, held_out, lesson, teachers_of
from vidrestore.training.loop import RunSettings, train
from vidrestore.training.portraits import AlignedPortrait
from vidrestore.training.restorer import losses_of
from vidrestore.training.samples import Sample, boxes_of, jitter, mirror
from vidrestore.types import Analysis, Notice, Progress, Reference, Span, TrainingProgress
from vidrestore.video import probe

LEARNING_RATE = 1e-4
"""A sixth of what the network was trained with: it is to learn the clip and not to forget what faces are."""
_BATCH = 2
_JUDGES = 12
"""References held out to judge by, at most."""
_SPARE = 1.5
"""Judging the copy takes as long as judging the plain weights did, and ending the training takes a moment."""
Listener = Callable[[Progress | TrainingProgress | Notice], None]
Figures = npt.NDArray[np.float64]


def _nobody(_: Progress | TrainingProgress | Notice) -> None:
    """The listener where none is given."""


@dataclass(frozen=True, kw_only=True)
class Personalized:
    """What came of fine-tuning, as it is kept beside the weights."""

    reason: str
    """For people to read."""
    steps: int = 0
    psnr_input: float | None = None
    """Mean over held-out lessons, dB."""
    psnr_plain: float | None = None
    psnr_personal: float | None = None
    weights: str | None = None
    """Name of the copy's file in the work folder; None where the plain weights are no worse."""


def restore_personalized(
    source: Path,
    output: Path,
    *,
    minutes: float,
    settings: Settings | None = None,
    work: Path | None = None,
    on_progress: Listener = _nobody,
    witness: Witness | None = None,
    references: Path | None = None,
    span: Span = WHOLE,
    keep_work: bool = False,
) -> RestoreResult:
    """Restore a video with a copy of the compact weights that was fine-tuned on its people, in ``minutes`` at most.

    The copy is kept in the work folder, and taken again where video, settings and plain weights are the same. Where
    fine-tuning does not help, the plain weights restore, and a warning says so. ``references``, ``span`` and
    ``keep_work`` are those of ``restore_video``; fine-tuning learns from the whole video's own pictures.

    Raises:
        ConfigError: the weights are not of a compact network, or ``minutes`` is not above 0.
        The rest as ``restore_video``, and AnalysisError where the work folder cannot be written.
    """
    settings = settings or Settings()
    if not 0 < minutes < math.inf:
        raise ConfigError(f"--personalize-minutes is {minutes:g}, allowed: more than 0")
    plain = _plain_weights(settings.restoration.weights)
    probe(source)
    check_output(source, output, settings)
    analysis = analyze_video(source, settings=settings, work=work, on_progress=on_progress)
    folder = work_folder(source, work)
    found = personalize(source, analysis, plain, settings, folder, minutes, on_progress=on_progress)
    restore = functools.partial(
        restore_video,
        source,
        output,
        work=work,
        on_progress=on_progress,
        witness=witness,
        references=references,
        span=span,
        keep_work=keep_work,
    )
    if found.weights is None:
        result = restore(settings=settings)
        return dataclasses.replace(result, warnings=[*result.warnings, f"not personalized: {found.reason}"])
    own = dataclasses.replace(settings.restoration, weights=str(folder / found.weights))
    return restore(settings=dataclasses.replace(settings, restoration=own))


def personalize(
    source: Path,
    analysis: Analysis,
    plain: WeightFile,
    settings: Settings,
    folder: Path,
    minutes: float,
    *,
    seed: int = 0,
    on_progress: Listener = _nobody,
) -> Personalized:
    """Fine-tune a copy of ``plain`` on the people of ``analysis``, or take the one that ``folder`` keeps.

    Estimating, judging and training together take ``minutes`` at most, give or take a step.

    Raises:
        AnalysisError: ``folder`` cannot be written.
        VideoError, WeightsError: the video or the weights cannot be read.
    """
    begun = time.monotonic()
    store.check_writable(folder)
    mode = settings.restoration.mode
    name = f"{Path(plain.name).stem}-personalized-{_digest(analysis, plain, mode, minutes, seed)}"
    report = folder / f"{name}.json"
    kept = _kept(report)
    if kept is not None:
        return kept
    clip = estimate_degradation(source, analysis)
    learn, judge = held_out(teachers_of(analysis, clip, mode))
    if not learn or not judge:
        return Personalized(reason="nobody in the video has two references, one to learn from and one to hold out")
    device = choose_device(settings.restoration.device)
    judging = time.monotonic()
    before, with_plain = _judged(plain.path, judge, clip, device)
    now = time.monotonic()
    left = minutes - (now - begun + _SPARE * (now - judging)) / 60
    if left <= 0:
        return Personalized(reason=f"{minutes:g} minutes are too few: estimating and judging take as long")
    with tempfile.TemporaryDirectory(prefix="personalize-", dir=folder) as run:
        copy = Path(run) / f"{name}.safetensors"
        steps = _fine_tune(plain, copy, learn, clip, left, seed, device, on_progress)
        _, with_copy = _judged(copy, judge, clip, device)
        helped = improves(with_plain, with_copy)
        if helped:
            copy.replace(folder / copy.name)
    figures = f"{with_plain.mean():.2f} dB with the plain weights, {with_copy.mean():.2f} dB with the copy"
    result = Personalized(
        reason=f"held-out frames of the video {'improved' if helped else 'did not improve'}: {figures}",
        steps=steps,
        psnr_input=float(before.mean()),
        psnr_plain=float(with_plain.mean()),
        psnr_personal=float(with_copy.mean()),
        weights=copy.name if helped else None,
    )
    part = report.with_name(report.name + ".part")
    part.write_text(json.dumps(dataclasses.asdict(result), indent=1), encoding="utf-8")
    part.replace(report)
    return result


def improves(plain: Figures, personal: Figures) -> bool:
    """Whether figures (N,) of the same faces rose by more than chance: their mean rise is above its standard error."""
    rise = personal - plain
    error = float(rise.std(ddof=1)) / math.sqrt(len(rise)) if len(rise) > 1 else 0.0
    return float(rise.mean()) > error


def _plain_weights(name: str) -> WeightFile:
    plain = find_weight_file(name)
    if plain is None or not is_compact_file(plain.path):
        raise ConfigError(
            f"restoration.weights is {name!r}, and only a compact network can be fine-tuned on a clip: "
            "leave out --personalize, or choose --weights compact"
        )
    return plain


def _kept(report: Path) -> Personalized | None:
    """The result of an earlier run, unless its weights are gone or it cannot be read."""
    try:
        result = Personalized(**json.loads(report.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return result if result.weights is None or is_compact_file(report.with_name(result.weights)) else None


def _digest(analysis: Analysis, plain: WeightFile, *choices: object) -> str:
    """Digest of what decides a copy: the video, its people and their references, the plain weights and ``choices``."""
    people = [(person.enabled, [picture.source for picture in person.references]) for person in analysis.identities]
    video = (analysis.fingerprint, analysis.settings_digest)
    parts = (__version__, video, people, weights.sha256(plain.path), *choices)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _judged(path: Path, judges: Sequence[Teacher], clip: ClipDegradation, device: str) -> Figures:
    """PSNR before and after restoring with the weights in ``path`` (2, N)."""
    restorer = CompactRestorer(load_network(path), torch.device(device), path.name, "")
    return np.array([pair for teacher in judges[:_JUDGES] for pair in examine(teacher, clip, restorer)]).T


def _fine_tune(
    plain: WeightFile,
    path: Path,
    teachers: Sequence[Teacher],
    clip: ClipDegradation,
    minutes: float,
    seed: int,
    device: str,
    on_progress: Listener,
) -> int:
    """Train a copy of ``plain`` into ``path``; the number of steps."""
    network = load_network(plain.path).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def draw(rng: np.random.Generator) -> list[Sample]:
        return [_sample(teachers[int(rng.integers(len(teachers)))], clip, rng) for _ in range(_BATCH)]

    run = RunSettings(
        folder=path.parent,
        minutes=minutes,
        batch=_BATCH,
        learning_rate=LEARNING_RATE,
        seed=seed,
        device=device,
        network="personal copy",
        on_progress=on_progress,
    )
    steps = train(network, draw, lambda samples: losses_of(network, samples, device), run)
    save_compact(network, path, plain.licence)
    return steps


def _sample(teacher: Teacher, clip: ClipDegradation, rng: np.random.Generator) -> Sample:
    """A lesson as the training wants it, moved a little, half the time as in a mirror."""
    mirrored = rng.random() < 0.5
    own, *others = (_portrait(reference, mirrored) for reference in (teacher.reference, *teacher.others))
    own = jitter(own, rng, 0.02)
    face = lesson(own.image, teacher.draw(clip, rng))
    return Sample(
        face.degraded,
        face.truth,
        boxes_of(own.landmarks),
        tuple(other.image for other in others),
        tuple(boxes_of(other.landmarks) for other in others),
        face.degradation,
    )


def _portrait(reference: Reference, mirrored: bool) -> AlignedPortrait:
    portrait = AlignedPortrait("", reference.image, reference.landmarks)
    return mirror(portrait) if mirrored else portrait
