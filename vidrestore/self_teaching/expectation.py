"""What restoring a clip can be expected to gain, where nobody has its original.

Each person's references are made smaller and as poor as the clip is, restored with the person's other references,
pasted with full strength, and compared with what they were. That is an expectation, made from the clip's own sharp
frames: the faces that are restored in earnest are others, no truth of theirs is known, and the gate weakens some.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidrestore.alignment import crop_face
from vidrestore.api import analyze_video
from vidrestore.blending import paste
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.geometry import box_of
from vidrestore.metrics import psnr
from vidrestore.restorers import build_restorer
from vidrestore.self_teaching.clip_degradation import ClipDegradation, estimate_degradation
from vidrestore.self_teaching.lessons import Lesson, Teacher, lesson, teachers_of
from vidrestore.types import Face, Floats, Frame, Image, Notice, Progress, Restorer
from vidrestore.video import picture_from_rgb

NOTE = (
    "an expectation, made from the clip's own sharp frames (made smaller and as poor as the clip is), not a measurement"
)
LESSONS = 2
"""Draws of the degradation for each reference."""
_TICK = Fraction(1, 25)
Listener = Callable[[Progress | Notice], None]


@dataclass(frozen=True, slots=True)
class Gain:
    """How much nearer to their truth faces came; PSNR in dB over the box of the landmarks, at the frame's scale."""

    faces: int
    psnr_before: float
    psnr_after: float
    psnr_gain: float
    improved: float
    """Share 0..1 of faces whose PSNR rose."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The gain expected on a clip."""

    people: Mapping[str, Gain]
    """By identity; without those who have no reference."""
    everyone: Gain | None
    """None where nobody has a reference."""
    degradation: ClipDegradation
    """What the clip's pictures are estimated to have suffered."""

    def to_json(self) -> dict[str, Any]:
        """As ``eval --json`` prints it."""
        return {"note": NOTE, **dataclasses.asdict(self)}

    def as_text(self) -> str:
        """A table for people."""
        rows = [f"{'person':12} {'faces':>6} {'before dB':>10} {'after dB':>9} {'gain dB':>8} {'improved':>9}"]
        everyone = {} if self.everyone is None else {"all": self.everyone}
        rows += [
            f"{name:12} {gain.faces:6} {gain.psnr_before:10.2f} {gain.psnr_after:9.2f} {gain.psnr_gain:8.2f} "
            f"{gain.improved:9.0%}"
            for name, gain in {**self.people, **everyone}.items()
        ]
        clip = self.degradation
        rows.append(
            f"estimated: blur {clip.blur_sigma:.2f} px, noise {clip.noise_sigma:.1f} levels, {clip.codec} like "
            f"{clip.encoder} at quantiser {clip.quantiser} ({clip.bits_per_pixel:.3f} bits per pixel)"
        )
        return "\n".join([*(rows if self.people else ["nobody has a reference"]), NOTE])


def expected_gain(
    source: Path,
    settings: Settings | None = None,
    work: Path | None = None,
    on_progress: Listener = lambda _: None,
) -> Expectation:
    """The gain to expect of restoring ``source`` with ``settings``; its analysis is made and kept as usual.

    Raises:
        The same as ``analyze_video``, and what building the restorer raises.
    """
    settings = settings or Settings()
    analysis = analyze_video(source, settings=settings, work=work, on_progress=on_progress)
    clip = estimate_degradation(source, analysis)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    teachers = teachers_of(analysis, clip, settings.restoration.mode)
    figures: dict[str, list[tuple[float, float]]] = {}
    for done, teacher in enumerate(teachers, start=1):
        figures.setdefault(teacher.identity.name, []).extend(examine(teacher, clip, restorer))
        on_progress(Progress("expect", done, len(teachers), done * LESSONS))
    people = {name: _gain(pairs) for name, pairs in figures.items()}
    everyone = [pair for pairs in figures.values() for pair in pairs]
    return Expectation(people, _gain(everyone) if everyone else None, clip)


def examine(teacher: Teacher, clip: ClipDegradation, restorer: Restorer) -> list[tuple[float, float]]:
    """PSNR in dB before and after restoring, of a few lessons of ``teacher``; the same lessons in every run."""
    rng = np.random.default_rng(0)
    memory = restorer.encode_references(teacher.others) if teacher.others else None
    drawn = [lesson(teacher.reference.image, teacher.draw(clip, rng)) for _ in range(LESSONS)]
    return [_psnr_of(each, teacher, restorer, memory) for each in drawn]


def _psnr_of(face: Lesson, teacher: Teacher, restorer: Restorer, memory: Any | None) -> tuple[float, float]:
    """PSNR before and after a face is restored and pasted, at the scale of the frame."""
    landmarks, scale = teacher.reference.landmarks, face.degradation.downscale
    frame = Frame(0, _TICK, picture_from_rgb(face.degraded, pixel_format="rgb24"))
    crop = crop_face(frame.image, Face(0, teacher.identity.id, landmarks, 1.0), restorer.crop_size)
    (restored,) = restorer.restore([crop], [memory])
    if restored is not None:
        paste(frame, crop, restored, 1.0)
    truth, before, after = (_in_frame(image, landmarks, scale) for image in (face.truth, face.degraded, frame.image))
    return psnr(before, truth), psnr(after, truth)


def _in_frame(image: Image, landmarks: Floats, scale: float) -> Image:
    """The face in an aligned picture (512, 512, 3), as large as it is in the frame."""
    size = tuple(round(side / scale) for side in image.shape[1::-1])
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    x0, y0, x1, y1 = np.rint(box_of(landmarks) / scale).astype(int)
    return small[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)]


def _gain(pairs: Sequence[tuple[float, float]]) -> Gain:
    before, after = np.array(pairs).T
    mean = float(before.mean()), float(after.mean())
    return Gain(len(pairs), *mean, mean[1] - mean[0], float((after > before).mean()))
