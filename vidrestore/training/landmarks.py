"""Train the landmark network of the ``compact`` pack: 68 points, and whether there is a face at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidrestore.alignment import before_shrinking
from vidrestore.geometry import overlap, transform
from vidrestore.training.composites import Scene, load_backgrounds, load_groups
from vidrestore.training.degradations import Degradation, degrade
from vidrestore.training.face_networks import LandmarkNetwork
from vidrestore.training.loop import RunSettings, autocast, train
from vidrestore.training.portraits import LoadedPortrait, list_portraits, load_portraits, mirrored_points
from vidrestore.training.sheets import save_sheet, with_points
from vidrestore.types import Floats, Image

SIDE = LandmarkNetwork.SIDE
CROP_SCALE = 1.5
"""insightface cuts a square this much larger than the box."""
_NEAR_FACES = 0.25
"""Share of the samples that are from photographs of groups: faces as they are, and what is beside them."""
_BESIDE_TRIES = 8
_ANNOTATED = [30, 48, 54]
"""Nose tip and mouth corners: the landmarks that photographs of groups have, too."""
Batch = tuple[Tensor, Tensor, Tensor]
"""Pixels (N, 3, 192, 192), landmarks (N, 136) in -1..1 or NaN where unknown, and whether there is a face (N,)."""


def close_up(rng: np.random.Generator) -> Degradation:
    """What a face box of old or compressed video looks like when it is brought to 192 x 192."""
    downscale = float(np.exp(rng.uniform(0, np.log(8)))) if rng.random() < 0.7 else 1.0
    fade = rng.random()
    return Degradation(
        blur_sigma=downscale * rng.uniform(0, 1.0),
        downscale=downscale,
        noise=rng.uniform(0, 18) * (rng.random() < 0.5),
        grain=rng.uniform(0, 18) * (rng.random() < 0.3),
        jpeg_quality=int(rng.integers(15, 96)) if rng.random() < 0.7 else None,
        comb_shift=int(rng.integers(1, 5)) if rng.random() < 0.04 else 0,
        grey=bool(rng.random() < 0.25),
        contrast=rng.uniform(0.45, 1.25) if fade < 0.5 else 1.0,
        tint=tuple(rng.uniform(0.75, 1.2, 3)) if fade < 0.35 else (1.0, 1.0, 1.0),
        seed=int(rng.integers(2**31)),
    )


class CloseUpMaker:
    """Draws crops (192, 192, 3) with their landmarks (68, 2) in -1..1, or None where there is no face.

    Of faces from ``groups`` only nose and mouth are known and the rest is NaN; they teach what a face is, also from the
    side, in the dark, and behind glasses.
    """

    def __init__(
        self, portraits: Sequence[LoadedPortrait], scenery: Sequence[Image], groups: Sequence[Scene] = ()
    ) -> None:
        self._portraits, self._scenery = portraits, scenery
        self._groups = [scene for scene in groups if len(scene.boxes)]

    def draw(self, rng: np.random.Generator) -> tuple[Image, Floats | None]:
        """A random crop, degraded."""
        kind = rng.random()
        if self._groups and kind < _NEAR_FACES:
            image, points = self._from_group(rng)
            return degrade(image, close_up(rng)), points
        if kind > 0.8:
            return degrade(self._without_face(rng), close_up(rng)), None
        portrait = self._portraits[int(rng.integers(len(self._portraits)))]
        image, matrix = _cut(portrait.image, portrait.box, rng)
        points = transform(matrix, portrait.landmarks)
        if rng.random() < 0.5:
            image, points = np.ascontiguousarray(image[:, ::-1]), mirrored_points(points, SIDE)
        if rng.random() < 0.15:
            self._cover(image, rng)
        return degrade(image, close_up(rng)), _normalised(points)

    def _from_group(self, rng: np.random.Generator) -> tuple[Image, Floats | None]:
        """A face of a photograph of several people, or something beside it: hands, clothes, the back of a head."""
        scene = self._groups[int(rng.integers(len(self._groups)))]
        index = int(rng.integers(len(scene.boxes)))
        box = scene.boxes[index]
        for _ in range(_BESIDE_TRIES if rng.random() < 0.5 else 0):
            size = float(box[2] - box[0])
            side = size * np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
            centre = (box[:2] + box[2:]) / 2 + size * rng.uniform(-4, 4, 2)
            beside = np.concatenate((centre - side / 2, centre + side / 2)).astype(np.float32)
            taken = np.concatenate((scene.boxes, scene.ignored))
            if not overlap(beside[None], taken).any() and _inside(beside, scene.image):
                return _cut(scene.image, beside, rng)[0], None
        image, matrix = _cut(scene.image, box, rng)
        points = np.full((68, 2), np.nan, dtype=np.float32)
        points[_ANNOTATED] = _normalised(transform(matrix, scene.keypoints[index, 2:]))
        return image, points

    def _without_face(self, rng: np.random.Generator) -> Image:
        """Scenery, clothes, or a crop of a portrait that misses the face."""
        if rng.random() < 0.7:
            source = self._scenery[int(rng.integers(len(self._scenery)))]
            side = float(np.exp(rng.uniform(np.log(24), np.log(min(source.shape[:2])))))
            corner = rng.uniform(0, 1, 2) * np.maximum(np.array(source.shape[1::-1]) - side, 0)
        else:
            portrait = self._portraits[int(rng.integers(len(self._portraits)))]
            source, box = portrait.image, portrait.box
            side = float((box[2] - box[0]) * rng.uniform(0.3, 1.2))
            low = min(float(box[3]) + 0.15 * side, source.shape[0] - 8.0)
            corner = np.array([rng.uniform(0, max(source.shape[1] - side, 1)), low])
        scale = SIDE / side
        matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]], dtype=np.float32)
        return _warp(source, matrix, 1 / scale)

    def _cover(self, image: Image, rng: np.random.Generator) -> None:
        """Put something over a part of the face: a hand, a microphone, hair are what this stands for."""
        patch = self._scenery[int(rng.integers(len(self._scenery)))]
        height, width = (int(v) for v in rng.integers(20, 80, 2))
        x, y = int(rng.integers(0, SIDE - width)), int(rng.integers(0, SIDE - height))
        image[y : y + height, x : x + width] = cv2.resize(patch, (width, height), interpolation=cv2.INTER_AREA)


def _normalised(points: Floats) -> Floats:
    """Points in pixels of a crop to -1..1 from edge to edge."""
    return np.asarray((points + 0.5) / (SIDE / 2) - 1, dtype=np.float32)


def _warp(source: Image, matrix: Floats, shrink: float) -> Image:
    soft = before_shrinking(source, shrink)
    warped = cv2.warpAffine(soft, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped, dtype=np.uint8)


def _inside(box: Floats, image: Image) -> bool:
    height, width = image.shape[:2]
    return bool(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height)


def _cut(source: Image, box: Floats, rng: np.random.Generator) -> tuple[Image, Floats]:
    """The crop insightface would make from a detector's ``box``, which is never quite right, and its matrix (2, 3)."""
    side = CROP_SCALE * float(max(box[2] - box[0], box[3] - box[1])) * np.exp(rng.normal(0.02, 0.13))
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) + 0.055 * side * rng.standard_normal(2)
    angle = np.deg2rad(rng.normal(0, 13) if rng.random() < 0.85 else rng.uniform(-50, 50))
    squeeze = np.array([[np.exp(rng.normal(-0.04, 0.08)), 0.12 * rng.standard_normal()], [0, 1.0]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ squeeze * (SIDE / side)
    middle = np.full(2, (SIDE - 1) / 2)
    matrix = np.concatenate((turn, (middle - turn @ centre)[:, None]), axis=1).astype(np.float32)
    return _warp(source, matrix, side / SIDE), matrix


def train_landmarks(portraits: Path, groups: Path, backgrounds: Path, settings: RunSettings) -> LandmarkNetwork:
    """Train on portraits, groups and pictures without faces; the checkpoint goes to ``settings.folder``."""
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    network: LandmarkNetwork = LandmarkNetwork().to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scenery = load_backgrounds(backgrounds, longest=384)
    maker = CloseUpMaker(
        load_portraits(list_portraits(portraits, "train"), face_width=150), scenery, load_groups(groups, "train")
    )
    held_out = CloseUpMaker(load_portraits(list_portraits(portraits, "val"), face_width=150), scenery)
    rng = np.random.default_rng(1)
    views = [held_out.draw(rng) for _ in range(256)]
    probe = _pack(views)

    def draw(rng: np.random.Generator) -> Batch:
        return _pack([maker.draw(rng) for _ in range(settings.batch)])

    def loss_of(batch: Batch) -> dict[str, Tensor]:
        pixels, points, faces = (part.to(settings.device) for part in batch)
        with autocast(settings.device):
            found, logits = network(pixels.contiguous(memory_format=torch.channels_last))
        distance = (found.float() - points).abs()[torch.isfinite(points) & (faces[:, None] > 0)].mean()
        face = F.binary_cross_entropy_with_logits(logits.float(), faces)
        return {"loss": 10 * distance + 0.5 * face, "distance": distance, "face": face}

    def on_report(_: int) -> dict[str, float]:
        pixels, points, faces = probe
        network.eval()
        with torch.inference_mode():
            found, logits = (part.float().cpu() for part in network(pixels.to(settings.device)))
        network.train()
        _draw_sheet([image for image, _ in views[:12]], found, logits, settings.folder / "sheet.jpg")
        error = landmark_error(found[faces > 0], points[faces > 0])
        return {"val_error": error, "val_face_accuracy": float(((logits > 0) == (faces > 0)).float().mean())}

    train(network, draw, loss_of, settings, on_report)
    return network.eval()


def _draw_sheet(images: Sequence[Image], found: Tensor, logits: Tensor, path: Path) -> None:
    """Held-out crops with the points found, drawn where the network sees a face."""
    cells = []
    for image, points, sure in zip(
        images, found.reshape(-1, 68, 2).numpy(), torch.sigmoid(logits).tolist(), strict=False
    ):
        pixels = (points + 1) * (SIDE / 2) - 0.5
        cells.append((with_points(image, pixels) if sure > 0.5 else image, f"face {sure:.2f}"))
    save_sheet(cells, 4, path)


def landmark_error(found: Tensor, truth: Tensor) -> float:
    """Mean distance of landmarks (N, 136) from the truth, as a share of the distance between the eye centres."""
    a, b = found.reshape(-1, 68, 2), truth.reshape(-1, 68, 2)
    eyes = (b[:, 36:42].mean(dim=1) - b[:, 42:48].mean(dim=1)).norm(dim=1)
    return float(((a - b).norm(dim=2).mean(dim=1) / eyes).mean())


def _pack(samples: Sequence[tuple[Image, Floats | None]]) -> Batch:
    pixels = np.stack([image for image, _ in samples]).transpose(0, 3, 1, 2)
    points = np.stack([np.zeros(136, np.float32) if p is None else p.reshape(-1) for _, p in samples])
    faces = np.array([p is not None for _, p in samples], dtype=np.float32)
    return (
        torch.from_numpy((pixels.astype(np.float32) - 127.5) / 128),
        torch.from_numpy(points),
        torch.from_numpy(faces),
    )
