"""Train the detector of the ``compact`` pack on composed scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidrestore.alignment import before_shrinking
from vidrestore.training.composites import SMALLEST_FACE, Scene, SceneMaker, load_backgrounds, load_groups
from vidrestore.training.face_networks import ANCHORS, STRIDES, DetectorNetwork
from vidrestore.training.loop import RunSettings, autocast, train
from vidrestore.training.portraits import LoadedPortrait, list_portraits, load_portraits
from vidrestore.training.sheets import save_sheet, with_boxes
from vidrestore.types import Floats, Image

SCENE_SIZE = 320
ANCHOR_RANGES = ((0.0, 16.0), (13.0, 28.0), (24.0, 52.0), (44.0, 100.0), (84.0, 190.0), (160.0, 1e9))
"""Face sizes (geometric mean of width and height, pixels) that each anchor, small to large, learns; they overlap."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What each anchor of a scene should say, all strides in one row of A anchors."""

    wanted: Floats
    """(A,): 1 a face, 0 none, -1 ignored."""
    boxes: Floats
    """(A, 4) in pixels."""
    keypoints: Floats
    """(A, 5, 2) in pixels; NaN where unknown."""


Batch = tuple[Tensor, list[Targets]]
"""Pixels (N, 3, S, S) and what is wanted of each scene."""


def anchor_centres(size: int) -> tuple[Floats, Floats]:
    """Centres (A, 2) and strides (A,) of all anchors of a square picture, in the order of the outputs."""
    centres, strides = [], []
    for stride in STRIDES:
        cells = size // stride
        y, x = np.mgrid[:cells, :cells].astype(np.float32) * stride
        centres.append(np.repeat(np.stack((x, y), axis=-1).reshape(-1, 2), ANCHORS, axis=0))
        strides.append(np.full(cells * cells * ANCHORS, stride, dtype=np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def assign(scene: Scene) -> Targets:
    """Give each face the anchors near its centre whose size range holds it, and at least the nearest one."""
    centres, strides = anchor_centres(scene.image.shape[0])
    kinds = np.searchsorted(STRIDES, strides) * ANCHORS + np.arange(len(strides)) % ANCHORS
    wanted = np.zeros(len(strides), dtype=np.float32)
    boxes = np.zeros((len(strides), 4), dtype=np.float32)
    keypoints = np.full((len(strides), 5, 2), np.nan, dtype=np.float32)
    for region in scene.ignored:
        wanted[_inside(centres, region)] = -1
    for box, points in zip(scene.boxes, scene.keypoints, strict=True):
        width, height = box[2] - box[0], box[3] - box[1]
        if width < SMALLEST_FACE:
            wanted[_inside(centres, box)] = -1
            continue
        size = float(np.sqrt(width * height))
        middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        offset = np.abs(centres - middle)
        near = (offset[:, 0] < 0.22 * width) & (offset[:, 1] < 0.22 * height)
        nearest = (offset <= strides[:, None] / 2 + 1e-3).all(axis=1)
        fits = np.zeros(len(strides), dtype=bool)
        for kind, (low, high) in enumerate(ANCHOR_RANGES):
            fits |= (kinds == kind) & (low <= size < high)
        # An anchor of a neighbouring size that also sees the face is neither wanted nor wrong.
        wanted[(near | nearest) & ~fits & (wanted == 0)] = -1
        chosen = (near | nearest) & fits
        wanted[chosen], boxes[chosen], keypoints[chosen] = 1, box, points
    return Targets(wanted, boxes, keypoints)


def _inside(points: Floats, box: Floats) -> np.ndarray:
    return np.asarray(((points >= box[:2]) & (points <= box[2:])).all(axis=1))


def detection_loss(outputs: Sequence[tuple[Tensor, Tensor, Tensor]], targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Quality focal loss (Li et al. 2020, arXiv 2006.04388), generalised IoU and keypoint distance."""
    size = outputs[0][0].shape[-1] * STRIDES[0]
    centres_np, strides_np = anchor_centres(size)
    device = outputs[0][0].device
    centres, strides = torch.from_numpy(centres_np).to(device), torch.from_numpy(strides_np)[:, None].to(device)

    def rows(index: int, columns: int) -> Tensor:
        parts = [
            maps[index].float().permute(0, 2, 3, 1).flatten(1).reshape(len(targets), -1, columns) for maps in outputs
        ]
        return torch.cat(parts, dim=1)

    logits = rows(0, 1)[..., 0]
    wanted = torch.from_numpy(np.stack([t.wanted for t in targets])).to(device)
    boxes = torch.from_numpy(np.stack([t.boxes for t in targets])).to(device)
    points = torch.from_numpy(np.stack([t.keypoints for t in targets])).to(device)
    chosen = wanted > 0
    count = chosen.sum().clamp(min=1)
    distances = rows(1, 4) * strides
    found = torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), dim=-1)
    iou, giou = _overlaps(found[chosen], boxes[chosen])
    quality = torch.zeros_like(logits)
    quality[chosen] = iou.detach().clamp(min=0.05)
    score = torch.sigmoid(logits)
    focal = (quality - score).abs().square() * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    focal = (focal * (wanted >= 0)).sum() / count
    offsets = rows(2, 10).reshape(len(targets), -1, 5, 2) * strides[:, :, None] + centres[:, None]
    scale = (boxes[chosen][:, 2:] - boxes[chosen][:, :2]).prod(dim=1).sqrt()[:, None, None]
    error = (offsets[chosen] - points[chosen]) / scale
    known = torch.isfinite(error)
    keypoints = F.smooth_l1_loss(error[known], torch.zeros_like(error[known]), beta=0.02, reduction="sum") / (
        10 * count
    )
    box = (1 - giou).sum() / count
    return {"loss": focal + box + 2 * keypoints, "focal": focal, "box": box, "keypoints": keypoints}


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019, arXiv 1902.09630) of paired boxes (P, 4)."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - inner
    iou = inner / union.clamp(min=1e-6)
    return iou, iou - (outer - union) / outer.clamp(min=1e-6)


def train_detector(portraits: Path, groups: Path, backgrounds: Path, settings: RunSettings) -> DetectorNetwork:
    """Train on composites of three folders; the checkpoint goes to ``settings.folder``."""
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    network: DetectorNetwork = DetectorNetwork().to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    maker = SceneMaker(
        load_portraits(list_portraits(portraits, "train"), face_width=150),
        load_groups(groups, "train"),
        load_backgrounds(backgrounds, longest=512),
        SCENE_SIZE,
    )

    def draw(rng: np.random.Generator) -> Batch:
        scenes = [maker.draw(rng) for _ in range(settings.batch)]
        return _pixels([scene.image for scene in scenes]), [assign(scene) for scene in scenes]

    def loss_of(batch: Batch) -> dict[str, Tensor]:
        pixels, targets = batch
        with autocast(settings.device):
            outputs = network(pixels.to(settings.device).contiguous(memory_format=torch.channels_last))
        return detection_loss(outputs, targets)

    listed = list_portraits(portraits, "val")
    held_out = [_fitted(p) for p in load_portraits(listed[:: max(1, len(listed) // 12)][:12], face_width=150)]

    def on_report(_: int) -> dict[str, float]:
        found = [find_faces(network, image, settings.device) for image in held_out]
        cells = [
            (with_boxes(image, boxes, points), ", ".join(f"{score:.2f}" for score in scores) or "no face")
            for image, (boxes, points, scores) in zip(held_out, found, strict=True)
        ]
        save_sheet(cells, 4, settings.folder / "sheet.jpg")
        return {"val_one_face": float(np.mean([len(scores) == 1 for _, _, scores in found]))}

    train(network, draw, loss_of, settings, on_report)
    return network.eval()


def _pixels(images: Sequence[Image]) -> Tensor:
    """RGB pictures of one size to (N, 3, H, W), normalised as insightface does it."""
    stacked = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    return torch.from_numpy((stacked - 127.5) / 128)


def _fitted(portrait: LoadedPortrait) -> Image:
    """A portrait in the middle of a grey square of :data:`SCENE_SIZE`, made smaller where it must be."""
    height, width = portrait.image.shape[:2]
    scale = min(1.0, SCENE_SIZE / max(height, width))
    shift = (SCENE_SIZE - scale * np.array([width, height])) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], dtype=np.float32)
    fitted = cv2.warpAffine(
        before_shrinking(portrait.image, 1 / scale), matrix, (SCENE_SIZE, SCENE_SIZE), borderValue=(127, 127, 127)
    )
    return np.asarray(fitted, dtype=np.uint8)


@torch.inference_mode()
def find_faces(network: DetectorNetwork, image: Image, device: str) -> tuple[Floats, Floats, list[float]]:
    """Boxes (N, 4), keypoints (N, 5, 2) and scores 0..1 of what the network takes for a face in a square picture."""
    network.eval()
    levels = network(_pixels([image]).to(device))
    network.train()

    def rows(index: int, columns: int) -> np.ndarray:
        maps = [level[index].permute(0, 2, 3, 1).reshape(-1, columns) for level in levels]
        return torch.cat(maps).float().cpu().numpy()

    centres, strides = anchor_centres(image.shape[0])
    scores = 1 / (1 + np.exp(-rows(0, 1)[:, 0]))
    distances = rows(1, 4) * strides[:, None]
    boxes = np.concatenate((centres - distances[:, :2], centres + distances[:, 2:]), axis=1)
    points = rows(2, 10).reshape(-1, 5, 2) * strides[:, None, None] + centres[:, None]
    sizes = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    kept = np.array(cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), 0.5, 0.4), dtype=int).reshape(-1)
    return boxes[kept], points[kept], scores[kept].tolist()
