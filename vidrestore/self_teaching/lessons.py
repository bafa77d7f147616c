"""Faces of a clip whose truth is known: its own references, made smaller, and what the clip would make of them.

A reference that is made smaller keeps little of the clip's own damage, so it is a truth for faces of its new size. Its
detail ends where the smaller frame's does; more would never be seen, because restored faces go back into the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidrestore.restoration import Mode
from vidrestore.self_teaching.clip_degradation import ClipDegradation, landmarks_of, scale_of
from vidrestore.training.degradations import Degradation, degrade
from vidrestore.types import Analysis, Identity, Image, Reference

FINER = 1.5
"""By how much a reference is made smaller, at least: less keeps its damage, more leaves faces that the clip has not.

Measured on a clip whose original is at hand, with a network of six layers taught anew each time: taught at 1.0 (as it
is) it gained 0.12 dB, at 1.5 0.29 dB, at 2 0.28 dB.
"""
_HOLD_OUT_EVERY, _HOLD_OUT_FIRST = 3, 1
"""Each person's second reference is held out, and every third from there on."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A reference of a person, as a truth to learn from or to be judged by."""

    identity: Identity
    reference: Reference
    others: tuple[Reference, ...]
    """What may be used to restore it: references of the same person, without itself."""
    scales: tuple[float, ...]
    """Sizes that this person's faces have in the clip, as in ``ClipDegradation.face_scales``."""
    own_scale: float
    """That of the reference."""

    def draw(self, clip: ClipDegradation, rng: np.random.Generator) -> Degradation:
        """What makes of the reference one of the faces of this person, though clearly smaller than it was."""
        scale = max(float(rng.choice(self.scales)), FINER * self.own_scale)
        return clip.draw(rng, scale, scale / self.own_scale)


@dataclass(frozen=True, eq=False)
class Lesson:
    """One face to restore, with its truth."""

    truth: Image
    """(512, 512, 3), aligned; as sharp as the smaller frame can show it."""
    degraded: Image
    """The same, as the clip would show it."""
    degradation: Degradation


def lesson(image: Image, degradation: Degradation) -> Lesson:
    """The lesson that ``degradation`` makes of an aligned picture (512, 512, 3)."""
    truth = degrade(image, Degradation(downscale=degradation.downscale))
    return Lesson(truth, degrade(image, degradation), degradation)


def teachers_of(analysis: Analysis, clip: ClipDegradation, mode: Mode) -> list[Teacher]:
    """Every reference that is of the clip itself and of a person to restore, with all others of that person.

    In ``mode`` ``generic`` there are no others, because none are used.
    """
    found = []
    for identity in analysis.identities:
        if not identity.enabled or identity.strength == 0:
            continue
        for reference in identity.references:
            landmarks = landmarks_of(reference, analysis.tracks)
            if landmarks is not None:
                others = () if mode == "generic" else tuple(r for r in identity.references if r is not reference)
                scales = clip.face_scales[identity.id]
                found.append(Teacher(identity, reference, others, scales, scale_of(landmarks)))
    return found


def held_out(teachers: Sequence[Teacher]) -> tuple[list[Teacher], list[Teacher]]:
    """Teachers to learn from, and those held out to judge by; neither is restored with one of the other."""
    learn: list[Teacher] = []
    judge: list[Teacher] = []
    for identity_id in dict.fromkeys(teacher.identity.id for teacher in teachers):
        own = [teacher for teacher in teachers if teacher.identity.id == identity_id]
        out = own[_HOLD_OUT_FIRST::_HOLD_OUT_EVERY]
        hidden = {id(teacher.reference) for teacher in out}
        learn += [_without(teacher, hidden) for teacher in own if teacher not in out]
        judge += [_without(teacher, hidden) for teacher in out]
    return learn, judge


def _without(teacher: Teacher, hidden: set[int]) -> Teacher:
    others = tuple(other for other in teacher.others if id(other) not in hidden)
    return Teacher(teacher.identity, teacher.reference, others, teacher.scales, teacher.own_scale)
