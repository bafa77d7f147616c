"""Train the embedded restorer.

Each sample is an aligned portrait, a degradation of it, and between zero and three references: other photographs of
the same person where there are any, else the same photograph moved, turned and re-lit, as another frame of one
recording would be. About a third of the samples have no reference, so the generic memory learns to stand alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidrestore.alignment import TEMPLATE_SIZE
from vidrestore.evaluation import psnr
from vidrestore.geometry import transform
from vidrestore.restorers.compact.network import CompactNetwork, CompactShape, Memory
from vidrestore.restorers.components import component_boxes
from vidrestore.threads import prefetch
from vidrestore.training.degradations import Degradation, degrade, fade, footage, moderate, severe
from vidrestore.training.loop import RunSettings, train
from vidrestore.training.portraits import AlignedPortrait, align_portrait, list_portraits, mirrored_points
from vidrestore.types import Floats, Image

MOST_REFERENCES = 3
SHAPE = CompactShape(blocks=(2, 3, 6))


@dataclass(frozen=True, eq=False)
class Sample:
    """One face to restore, with its truth and the references to restore it from."""

    degraded: Image
    truth: Image
    boxes: Floats
    references: tuple[Image, ...]
    reference_boxes: tuple[Floats, ...]


class SampleMaker:
    """Draws samples from aligned portraits."""

    def __init__(self, portraits: Sequence[AlignedPortrait]) -> None:
        self._portraits = portraits
        self._by_person: dict[str, list[int]] = {}
        for index, portrait in enumerate(portraits):
            self._by_person.setdefault(portrait.person, []).append(index)

    def draw(self, rng: np.random.Generator) -> Sample:
        """A random sample."""
        index = int(rng.integers(len(self._portraits)))
        portrait = jitter(mirror(self._portraits[index]) if rng.random() < 0.5 else self._portraits[index], rng, 0.02)
        degradation = _mixture(rng)
        references = [] if rng.random() < 0.35 else self._references(index, portrait, rng)
        colour = Degradation(grey=degradation.grey, contrast=degradation.contrast, tint=degradation.tint)
        return Sample(
            degrade(portrait.image, degradation),
            fade(portrait.image, colour),
            _boxes(_jittered_points(portrait.landmarks, rng, degradation.downscale)),
            tuple(fade(_soften(reference.image, rng), colour) for reference in references),
            tuple(_boxes(reference.landmarks) for reference in references),
        )

    def _references(self, index: int, portrait: AlignedPortrait, rng: np.random.Generator) -> list[AlignedPortrait]:
        others = [other for other in self._by_person[portrait.person] if other != index]
        count = int(rng.integers(1, MOST_REFERENCES + 1))
        if others and rng.random() < 0.6:
            chosen = rng.permutation(others)[:count]
            return [jitter(self._portraits[int(other)], rng, 0.03) for other in chosen]
        return [relight(jitter(portrait, rng, 0.06), rng) for _ in range(count)]


def _mixture(rng: np.random.Generator) -> Degradation:
    draw = rng.random()
    if draw < 0.3:
        return moderate(rng)
    return footage(rng) if draw < 0.93 else severe(rng)


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


def _boxes(landmarks: Floats) -> Floats:
    return component_boxes(landmarks).astype(np.float32)


def _jittered_points(landmarks: Floats, rng: np.random.Generator, downscale: float) -> Floats:
    """Landmarks as well as they can be found in a picture degraded this much."""
    spread = min(8.0, 1 + 0.5 * downscale)
    return (landmarks + spread * rng.standard_normal((1, 2)) + 1.0 * rng.standard_normal(landmarks.shape)).astype(
        np.float32
    )


def to_tensor(images: Sequence[Image], device: str) -> Tensor:
    """RGB pictures to (N, 3, H, W) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(images)).to(device)
    return (stacked.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def restoration_loss(restored: Tensor, truth: Tensor, boxes: Tensor) -> Tensor:
    """L1 of levels and of their differences to the right and below; eyes and mouth count three times."""
    weight = torch.ones_like(truth[:, :1])
    for index, face in enumerate(boxes.round().long().clamp(0, truth.shape[-1]).tolist()):
        for row in (0, 1, 3):
            x0, y0, x1, y1 = face[row]
            weight[index, :, y0:y1, x0:x1] = 3.0
    error = restored - truth
    level = (weight * torch.sqrt(error.square() + 1e-6)).mean()
    across = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    down = (weight[..., 1:, :] * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    return level + 0.5 * (across + down)


def remember(network: CompactNetwork, samples: Sequence[Sample], device: str) -> list[Memory | None]:
    """The specific memory of each sample."""
    return [
        network.memorize(
            to_tensor(sample.references, device), torch.from_numpy(np.stack(sample.reference_boxes)).to(device)
        )
        if sample.references
        else None
        for sample in samples
    ]


def _batches(maker: SampleMaker, batch: int, seed: int) -> Iterator[list[Sample]]:
    rng = np.random.default_rng(seed)
    while True:
        yield [maker.draw(rng) for _ in range(batch)]


def train_restorer(portraits: Path, settings: RunSettings) -> CompactNetwork:
    """Train on the sharp portraits of ``portraits``; weights and sample sheets go to ``settings.folder``."""
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    network: CompactNetwork = CompactNetwork(SHAPE).to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    maker = SampleMaker([align_portrait(p, TEMPLATE_SIZE) for p in list_portraits(portraits, "train") if p.hq])
    held_out = [align_portrait(p, TEMPLATE_SIZE) for p in list_portraits(portraits, "val") if p.hq and not p.synthetic]
    probe_maker, rng = SampleMaker(held_out), np.random.default_rng(1)
    probe = [probe_maker.draw(rng) for _ in range(12)]

    def loss_of(samples: list[Sample]) -> dict[str, Tensor]:
        faces = to_tensor([sample.degraded for sample in samples], settings.device)
        truth = to_tensor([sample.truth for sample in samples], settings.device)
        boxes = torch.from_numpy(np.stack([sample.boxes for sample in samples])).to(settings.device)
        with torch.autocast(settings.device.split(":")[0], torch.bfloat16):
            restored = network(faces, boxes, remember(network, samples, settings.device))
        loss = restoration_loss(restored.float(), truth, boxes)
        return {"loss": loss, "gain_l1": F.l1_loss(faces, truth) - F.l1_loss(restored.float(), truth)}

    def on_report(_: int) -> dict[str, float]:
        restored = restore_samples(network, probe, settings.device)
        gains = [psnr(out, s.truth) - psnr(s.degraded, s.truth) for out, s in zip(restored, probe, strict=True)]
        rows = [np.hstack((s.degraded, out, s.truth)) for s, out in zip(probe, restored, strict=True)]
        sheet = np.vstack(rows[:6])[:, :, ::-1]
        cv2.imwrite(str(settings.folder / "sheet.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
        return {"val_psnr_gain": float(np.mean(gains))}

    steps = train(
        network, lambda seed: prefetch(_batches(maker, settings.batch, seed), 4), loss_of, settings, on_report
    )
    (settings.folder / "recipe.json").write_text(
        json.dumps({"steps": steps, "batch": settings.batch, "seed": settings.seed, "minutes": settings.minutes})
    )
    return network.eval()


def restore_samples(network: CompactNetwork, samples: Sequence[Sample], device: str) -> list[Image]:
    """Restored pictures of samples, one at a time, in float32."""
    pictures = []
    with torch.inference_mode():
        for sample in samples:
            boxes = torch.from_numpy(sample.boxes[None]).to(device)
            out = network(to_tensor([sample.degraded], device), boxes, remember(network, [sample], device))[0]
            levels = ((out + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0)
            pictures.append(levels.to(torch.uint8).cpu().numpy())
    return pictures
