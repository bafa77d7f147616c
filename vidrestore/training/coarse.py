"""The coarse stage of the restorer, trained by itself before the whole network.

It sees 64 x 64 pixels of a face, so a step costs a fraction of one of the whole network, and every portrait can be
learnt from, also those that are too small or soft to learn details from. Six of ten samples are of the severe recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vidrestore.restorers.compact.coarse import SIDE
from vidrestore.restorers.compact.memory import Memory
from vidrestore.restorers.compact.network import CompactNetwork
from vidrestore.training.degradations import Degradation, degrade, moderate, severe
from vidrestore.training.loop import RunSettings, autocast, train
from vidrestore.training.portraits import AlignedPortrait
from vidrestore.types import Floats, Image

SIZE = 256
"""Pixels per side of the aligned portraits that samples are made of: half of those the whole network sees."""
BATCH_FACTOR = 4
"""How many times the whole network's batch one step takes."""
LEARNING_RATE = 1e-3
MARGIN = 32
"""Further pixels around them, so that a moved portrait has no border."""
_MOST_REFERENCES = 3


@dataclass(frozen=True, eq=False)
class CoarseSample:
    """A face from afar, its truth and references: each (64, 64, 3), float levels."""

    degraded: Floats
    truth: Floats
    references: tuple[Floats, ...]


class CoarseSampleMaker:
    """Draws samples from portraits of ``SIZE + MARGIN`` pixels per side."""

    def __init__(self, portraits: Sequence[AlignedPortrait]) -> None:
        self._portraits = portraits
        self._by_person: dict[str, list[int]] = {}
        for index, portrait in enumerate(portraits):
            self._by_person.setdefault(portrait.person, []).append(index)
        self._accompanied = [index for rows in self._by_person.values() if len(rows) > 1 for index in rows]

    def draw(self, rng: np.random.Generator) -> CoarseSample:
        """A random sample; people with several photographs are drawn more often."""
        index = int(rng.integers(len(self._portraits)))
        if len(self._by_person[self._portraits[index].person]) == 1 and self._accompanied and rng.random() < 0.35:
            index = self._accompanied[int(rng.integers(len(self._accompanied)))]
        others = [other for other in self._by_person[self._portraits[index].person] if other != index]
        mirrored = rng.random() < 0.5
        colour = _colour(rng)
        truth = colour(_moved(self._portraits[index].image, rng, 1.0, mirrored))
        references: list[Floats] = []
        if rng.random() < 0.7:
            for _ in range(int(rng.integers(1, _MOST_REFERENCES + 1))):
                if others and rng.random() < 0.8:
                    other = self._portraits[others[int(rng.integers(len(others)))]]
                    picture = _moved(other.image, rng, 1.0, mirrored)
                else:
                    picture = _bent(_moved(self._portraits[index].image, rng, 1.5, mirrored), rng)
                references.append(_from_afar(_relit(colour(picture), rng)))
        degraded = degrade(np.rint(truth).astype(np.uint8), _degradation(rng))
        return CoarseSample(_from_afar(degraded.astype(np.float32)), _from_afar(truth), tuple(references))


def _degradation(rng: np.random.Generator) -> Degradation:
    """Six of ten severe, two moderate, two between; in pixels of a picture half as large as the recipes'."""
    kind = rng.random()
    recipe = severe if kind < 0.6 else moderate if kind < 0.8 else _between
    full = recipe(rng)
    return replace(full, blur_sigma=full.blur_sigma / 2, downscale=max(1.0, full.downscale / 2))


def _between(rng: np.random.Generator) -> Degradation:
    """Blur 2..16, downscale 2..24, noise 0..20, JPEG 30..100."""
    return replace(severe(rng), blur_sigma=rng.uniform(2, 16), downscale=rng.uniform(2, 24))


def _moved(image: Image, rng: np.random.Generator, amount: float, mirrored: bool) -> Floats:
    """A portrait moved, turned, scaled and sheared a little, (SIZE, SIZE, 3)."""
    old, new = (image.shape[0] / 2, SIZE / 2)
    scale = math.exp(0.04 * amount * rng.standard_normal())
    turn = cv2.getRotationMatrix2D((old, old), 3 * amount * rng.standard_normal(), scale * SIZE / image.shape[0])
    matrix = np.asarray(turn, dtype=np.float64)
    matrix[:, :2] += 0.015 * amount * rng.standard_normal((2, 2))
    matrix[:, 2] = new - matrix[:, :2] @ np.full(2, old) + 4 * amount * rng.standard_normal(2)
    moved = cv2.warpAffine(
        image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)
    return np.ascontiguousarray(moved[:, ::-1]) if mirrored else moved


def _bent(picture: Floats, rng: np.random.Generator) -> Floats:
    """Another expression and pose, as far as bending can give one."""
    bend = cv2.resize(rng.normal(0, 3, (5, 5, 2)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    bent = cv2.remap(picture, x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(bent, dtype=np.float32)


def _colour(rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """Another exposure, tint and saturation, or none; sometimes grey. The same for a face and its references."""
    changed, grey = rng.random() < 0.6, rng.random() < 0.08
    gamma = rng.uniform(0.75, 1.25) if changed else 1.0
    gain = rng.uniform(0.8, 1.1) * (1 + 0.05 * rng.standard_normal(3)) if changed else np.ones(3)
    saturation = 0.0 if grey else rng.uniform(0.6, 1.3) if changed else 1.0

    def colour(picture: Floats) -> Floats:
        lit = 255 * (np.clip(picture, 0, 255) / 255) ** gamma * gain
        mean = lit.mean(axis=2, keepdims=True)
        return np.asarray(np.clip(mean + (lit - mean) * saturation, 0, 255), dtype=np.float32)

    return colour


def _relit(picture: Floats, rng: np.random.Generator) -> Floats:
    """A reference is of another moment: mostly in other light, at times softer."""
    if rng.random() < 0.7:
        gain = 1 + 0.12 * rng.standard_normal() + 0.04 * rng.standard_normal(3)
        picture = ((picture - 110) * gain + 110 + 8 * rng.standard_normal()).astype(np.float32)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.5)), dtype=np.float32)
    return np.clip(picture, 0, 255)


def _from_afar(picture: Floats) -> Floats:
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32)


def coarse_losses(network: CompactNetwork, samples: Sequence[CoarseSample], device: str) -> dict[str, Tensor]:
    """The ``loss`` of a batch: the mean logarithm of each face's squared error, which is PSNR itself."""
    faces, truth = (_tensor([getattr(sample, name) for sample in samples], device) for name in ("degraded", "truth"))
    with autocast(device):
        memories = [
            Memory(*zip(*network.coarse.memorize(_tensor(sample.references, device)), strict=True))
            if sample.references
            else None
            for sample in samples
        ]
        change = network.coarse.small(faces, memories)
    squared = (faces + change.float() - truth).square().mean(dim=(1, 2, 3))
    return {"loss": torch.log(squared + 3e-4).mean()}


def _tensor(pictures: Sequence[Floats], device: str) -> Tensor:
    stacked = torch.from_numpy(np.stack(pictures)).to(device)
    return (stacked.permute(0, 3, 1, 2) / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def train_coarse(network: CompactNetwork, portraits: Sequence[AlignedPortrait], settings: RunSettings) -> None:
    """Train the coarse stage of ``network`` in place on portraits of ``SIZE + MARGIN`` pixels per side."""
    maker = CoarseSampleMaker(portraits)
    train(
        network.coarse,
        lambda rng: [maker.draw(rng) for _ in range(settings.batch)],
        lambda samples: coarse_losses(network, samples, settings.device),
        settings,
    )
