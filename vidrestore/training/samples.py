"""What the restorer learns from: faces to restore, with their truths and references.

Each sample is an aligned portrait, a degradation of it, and between zero and three references: other photographs of
the same person where there are any, else the same photograph moved, turned and re-lit, as another frame of one
recording would be. About a third of the samples have no reference, so the generic memory learns to stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidrestore.geometry import transform
from vidrestore.restorers.components import component_boxes
from vidrestore.training.degradations import Degradation, Recipe, degrade, fade, footage, moderate, severe
from vidrestore.training.portraits import AlignedPortrait, mirrored_points
from vidrestore.types import Floats, Image

MIXTURE: tuple[tuple[float, Recipe], ...] = ((0.2, moderate), (0.5, footage), (0.3, severe))
"""The recipes that samples are degraded by, each with its share."""
MOST_REFERENCES = 3


@dataclass(frozen=True, eq=False)
class Sample:
    """One face to restore, with its truth and the references to restore it from."""

    degraded: Image
    truth: Image
    boxes: Floats
    references: tuple[Image, ...]
    reference_boxes: tuple[Floats, ...]
    degradation: Degradation
    """What was done to ``truth``."""


class SampleMaker:
    """Draws samples from aligned portraits.

    Args:
        portraits: sharp ones, to restore.
        others: further photographs of the same people, only good enough to be references.
    """

    def __init__(self, portraits: Sequence[AlignedPortrait], others: Sequence[AlignedPortrait] = ()) -> None:
        self._portraits = portraits
        self._by_person: dict[str, list[AlignedPortrait]] = {}
        for portrait in (*portraits, *others):
            self._by_person.setdefault(portrait.person, []).append(portrait)

    def draw(self, rng: np.random.Generator) -> Sample:
        """A random sample."""
        original = self._portraits[int(rng.integers(len(self._portraits)))]
        portrait = jitter(mirror(original) if rng.random() < 0.5 else original, rng, 0.02)
        degradation = _mixture(rng)
        references = [] if rng.random() < 0.3 else self._references(original, portrait, rng)
        colour = Degradation(grey=degradation.grey, contrast=degradation.contrast, tint=degradation.tint)
        return Sample(
            degrade(portrait.image, degradation),
            fade(portrait.image, colour),
            boxes_of(_jittered_points(portrait.landmarks, rng, degradation.downscale)),
            tuple(fade(_soften(reference.image, rng), colour) for reference in references),
            tuple(boxes_of(_jittered_points(reference.landmarks, rng, 1.0)) for reference in references),
            degradation,
        )

    def _references(
        self, original: AlignedPortrait, portrait: AlignedPortrait, rng: np.random.Generator
    ) -> list[AlignedPortrait]:
        others = [other for other in self._by_person[original.person] if other is not original]
        count = int(rng.integers(1, MOST_REFERENCES + 1))
        if others and rng.random() < 0.75:
            chosen = rng.permutation(len(others))[:count]
            return [jitter(others[int(other)], rng, 0.02) for other in chosen]
        return [relight(jitter(portrait, rng, 0.05), rng) for _ in range(count)]


def _mixture(rng: np.random.Generator) -> Degradation:
    bounds = np.cumsum([share for share, _ in MIXTURE])[:-1]
    return MIXTURE[int(np.searchsorted(bounds, rng.random(), side="right"))][1](rng)


def mirror(portrait: AlignedPortrait) -> AlignedPortrait:
    """The portrait as in a mirror."""
    image = np.ascontiguousarray(portrait.image[:, ::-1])
    return AlignedPortrait(portrait.person, image, mirrored_points(portrait.landmarks, image.shape[1]))


def jitter(portrait: AlignedPortrait, rng: np.random.Generator, amount: float) -> AlignedPortrait:
    """Move, scale, turn and shear a portrait by about ``amount``, around its centre."""
    size = portrait.image.shape[0]
    matrix = np.eye(2) + amount * rng.standard_normal((2, 2))
    centre = np.full(2, (size - 1) / 2)
    shift = centre - matrix @ centre + 0.3 * amount * size * rng.standard_normal(2)
    affine = np.concatenate((matrix, shift[:, None]), axis=1).astype(np.float32)
    image = cv2.warpAffine(
        portrait.image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return AlignedPortrait(portrait.person, np.asarray(image, dtype=np.uint8), transform(affine, portrait.landmarks))


def relight(portrait: AlignedPortrait, rng: np.random.Generator) -> AlignedPortrait:
    """Change exposure, contrast and colour balance a little."""
    gain = 1 + 0.12 * rng.standard_normal() + 0.03 * rng.standard_normal(3)
    picture = (portrait.image.astype(np.float32) - 110) * gain + 110 + 8 * rng.standard_normal()
    return AlignedPortrait(portrait.person, np.clip(picture, 0, 255).astype(np.uint8), portrait.landmarks)


def _soften(image: Image, rng: np.random.Generator) -> Image:
    """References of a real video are sharp, but not as sharp as a studio portrait."""
    if rng.random() < 0.5:
        return image
    return degrade(
        image,
        Degradation(
            downscale=rng.uniform(1, 3),
            noise=rng.uniform(0, 5),
            jpeg_quality=int(rng.integers(60, 100)),
            seed=int(rng.integers(2**31)),
        ),
    )


def boxes_of(landmarks: Floats) -> Floats:
    """Component boxes (4, 4) of the landmarks (68, 2) of an aligned portrait."""
    return component_boxes(landmarks).astype(np.float32)


def _jittered_points(landmarks: Floats, rng: np.random.Generator, downscale: float) -> Floats:
    """Landmarks as well as they can be found in a picture degraded this much."""
    spread = min(8.0, 1 + 0.5 * downscale)
    return (landmarks + spread * rng.standard_normal((1, 2)) + 1.0 * rng.standard_normal(landmarks.shape)).astype(
        np.float32
    )
