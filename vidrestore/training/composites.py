"""Pictures for the detector: portraits pasted on backgrounds, groups, close-ups, and pictures without a face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidrestore.alignment import before_shrinking, keypoints_of
from vidrestore.geometry import transform
from vidrestore.training.degradations import Degradation, degrade
from vidrestore.training.portraits import INDEX, LoadedPortrait, picture_files, read_rgb
from vidrestore.types import Floats, Image

SMALLEST_FACE = 9.0
"""Width in pixels under which a face is neither wanted nor punished."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture (H, W, 3) with faces: boxes (N, 4), keypoints (N, 5, 2) or NaN, and regions to ignore (M, 4)."""

    image: Image
    boxes: Floats
    keypoints: Floats
    ignored: Floats


def load_groups(folder: Path, split: str) -> list[Scene]:
    """Annotated photographs of several people."""
    scenes = []
    for row in json.loads((folder / INDEX).read_text(encoding="utf-8"))["images"]:
        if row["split"] != split:
            continue
        faces = row["faces"]
        unknown = np.full((5, 2), np.nan, dtype=np.float32)
        points = [np.array(f["points"], np.float32) if f.get("points") else unknown for f in faces]
        scenes.append(
            Scene(
                read_rgb(folder / row["file"]),
                np.array([f["box"] for f in faces], dtype=np.float32).reshape(-1, 4),
                np.array(points, dtype=np.float32).reshape(-1, 5, 2),
                np.array(row["ignore"], dtype=np.float32).reshape(-1, 4),
            )
        )
    return scenes


def load_backgrounds(folder: Path, longest: int) -> list[Image]:
    """Photographs without people, at most ``longest`` pixels long."""
    images = []
    for path in picture_files(folder):
        image = read_rgb(path)
        scale = min(1.0, longest / max(image.shape[:2]))
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        images.append(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8))
    return images


def screen(rng: np.random.Generator) -> Degradation:
    """What a whole frame of old or compressed video looks like."""
    fade = rng.random()
    return Degradation(
        blur_sigma=rng.uniform(0, 1.8) * (rng.random() < 0.5),
        downscale=rng.uniform(1, 2.2) if rng.random() < 0.35 else 1.0,
        noise=rng.uniform(0, 14) * (rng.random() < 0.45),
        grain=rng.uniform(0, 16) * (rng.random() < 0.3),
        jpeg_quality=int(rng.integers(15, 96)) if rng.random() < 0.75 else None,
        comb_shift=int(rng.integers(1, 4)) if rng.random() < 0.04 else 0,
        grey=bool(rng.random() < 0.3),
        contrast=rng.uniform(0.5, 1.25) if fade < 0.5 else 1.0,
        tint=tuple(rng.uniform(0.8, 1.15, 3)) if fade < 0.35 else (1.0, 1.0, 1.0),
        seed=int(rng.integers(2**31)),
    )


class SceneMaker:
    """Draws square scenes of ``size`` pixels."""

    def __init__(
        self, portraits: Sequence[LoadedPortrait], groups: Sequence[Scene], backgrounds: Sequence[Image], size: int
    ) -> None:
        self._portraits, self._groups, self._backgrounds, self._size = portraits, groups, backgrounds, size

    def draw(self, rng: np.random.Generator) -> Scene:
        """A random scene, degraded."""
        kind = rng.random()
        if kind < 0.5:
            scene = self._group(rng)
        elif kind < 0.62:
            scene = self._pasted(rng, count=1, smallest=110.0, largest=310.0)
        elif kind < 0.87:
            scene = self._pasted(rng, count=int(rng.integers(1, 6)), smallest=10.0, largest=150.0)
        else:
            scene = self._pasted(rng, count=0, smallest=0.0, largest=0.0)
        if rng.random() < 0.5:
            scene = _mirrored(scene)
        return Scene(degrade(scene.image, screen(rng)), scene.boxes, scene.keypoints, scene.ignored)

    def _background(self, rng: np.random.Generator) -> Image:
        image = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        return _cut(image, rng, self._size, float(np.exp(rng.uniform(np.log(0.6), np.log(2.0)))))[0]

    def _group(self, rng: np.random.Generator) -> Scene:
        scene = self._groups[int(rng.integers(len(self._groups)))]
        scale, centre = float(np.exp(rng.uniform(np.log(0.35), np.log(2.2)))), None
        if len(scene.boxes) and rng.random() < 0.75:
            # Most of a wide picture shows nobody: look where somebody is, at any size.
            box = scene.boxes[int(rng.integers(len(scene.boxes)))]
            width = np.exp(rng.uniform(np.log(12), np.log(160)))
            scale = float(np.clip(width / (box[2] - box[0]), 0.25, 4.0))
            centre = (box[:2] + box[2:]) / 2
        image, matrix = _cut(scene.image, rng, self._size, scale, centre)
        boxes = transform(matrix, scene.boxes.reshape(-1, 2)).reshape(-1, 4)
        ignored = transform(matrix, scene.ignored.reshape(-1, 2)).reshape(-1, 4)
        inside = _visible_share(boxes, self._size)
        kept = inside > 0.7
        return Scene(
            image,
            boxes[kept],
            transform(matrix, scene.keypoints.reshape(-1, 2)).reshape(-1, 5, 2)[kept],
            np.concatenate((ignored, boxes[(inside > 0) & ~kept])),
        )

    def _pasted(self, rng: np.random.Generator, count: int, smallest: float, largest: float) -> Scene:
        image = self._background(rng).copy()
        boxes: list[Floats] = []
        points: list[Floats] = []
        for _ in range(int(rng.integers(0, 3))):
            self._paste_clutter(image, rng)
        for _ in range(count):
            width = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
            portrait = self._portraits[int(rng.integers(len(self._portraits)))]
            placed = _paste_portrait(image, portrait, width, boxes, rng)
            if placed is not None:
                boxes.append(placed[0])
                points.append(placed[1])
        return Scene(
            image,
            np.array(boxes, dtype=np.float32).reshape(-1, 4),
            np.array(points, dtype=np.float32).reshape(-1, 5, 2),
            np.zeros((0, 4), dtype=np.float32),
        )

    def _paste_clutter(self, image: Image, rng: np.random.Generator) -> None:
        """Something that is no face, with the same borders that pasted faces have: clothes, bare skin, or scenery."""
        kind = rng.random()
        portrait = self._portraits[int(rng.integers(len(self._portraits)))]
        if kind < 0.35:
            patch = portrait.image[int(portrait.box[3]) :]
        elif kind < 0.6:
            patch = _cheek(portrait)
        else:
            patch = self._background(rng)
        side = int(np.exp(rng.uniform(np.log(16), np.log(140))))
        if min(patch.shape[:2]) < 12:
            return
        patch = np.asarray(cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        x, y = (int(v) for v in rng.integers(0, self._size - side, 2))
        mask = _ellipse(side, side) if rng.random() < 0.6 else np.ones((side, side, 1), dtype=np.float32)
        region = image[y : y + side, x : x + side]
        region[:] = (region + mask * (patch.astype(np.float32) - region)).astype(np.uint8)


def _cut(
    image: Image, rng: np.random.Generator, size: int, scale: float, centre: Floats | None = None
) -> tuple[Image, Floats]:
    """A ``size`` square of ``image`` at ``scale`` that shows ``centre`` (2,), or from a random place."""
    height, width = image.shape[:2]
    room = np.array([width * scale - size, height * scale - size])
    place = rng.uniform(0, 1, 2)
    wanted = place * room if centre is None else centre * scale - size * place
    corner = np.where(room > 0, np.clip(wanted, 0, np.maximum(room, 0)), room / 2)
    matrix = np.array([[scale, 0, -corner[0]], [0, scale, -corner[1]]], dtype=np.float32)
    cut = cv2.warpAffine(
        before_shrinking(image, 1 / scale), matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(cut, dtype=np.uint8), matrix


def _visible_share(boxes: Floats, size: int) -> Floats:
    inside = np.clip(boxes, 0, size)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
    return np.asarray(left / np.maximum(area, 1e-6), dtype=np.float32)


def turned_box(box: Floats, matrix: Floats) -> Floats:
    """Bounding box (4,) of the ellipse inside ``box`` (4,) after ``matrix`` (2, 3)."""
    centre = transform(matrix, np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], dtype=np.float32))
    half = np.array([(box[2] - box[0]) / 2, (box[3] - box[1]) / 2])
    reach = np.sqrt(((matrix[:, :2] * half) ** 2).sum(axis=1))
    return np.concatenate((centre - reach, centre + reach)).astype(np.float32)


def _paste_portrait(
    image: Image, portrait: LoadedPortrait, width: float, taken: list[Floats], rng: np.random.Generator
) -> tuple[Floats, Floats] | None:
    """Paste a portrait, face ``width`` pixels wide, into ``image``; its box and keypoints, or None without room."""
    size = image.shape[0]
    scale = width / float(portrait.box[2] - portrait.box[0])
    angle = np.deg2rad(rng.normal(0, 14) if rng.random() < 0.8 else rng.uniform(-45, 45))
    # A turned head is a narrower one.
    stretch = np.array([[np.exp(-abs(rng.normal(0, 0.15))), np.exp(rng.normal(0, 0.05))]])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * stretch
    centre = np.array([(portrait.box[0] + portrait.box[2]) / 2, (portrait.box[1] + portrait.box[3]) / 2])
    margin = min(0.4 * width, size / 2 - 1)
    target = rng.uniform(margin, size - margin, 2)
    matrix = np.concatenate((turn, (target - turn @ centre)[:, None]), axis=1).astype(np.float32)
    box = turned_box(portrait.box, matrix)
    if any(_overlaps(box, other) for other in taken):
        return None
    height, breadth = portrait.image.shape[:2]
    shape = rng.random()
    mask = _ellipse(height, breadth) if shape < 0.5 else np.ones((height, breadth, 1), dtype=np.float32)
    source = _as_filmed(before_shrinking(portrait.image, 1 / scale), portrait, rng)
    alpha = cv2.warpAffine(mask[:, :, 0], matrix, (size, size), flags=cv2.INTER_LINEAR)[:, :, None]
    patch = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    image[:] = (image + alpha * (patch.astype(np.float32) - image)).astype(np.uint8)
    return box, transform(matrix, keypoints_of(portrait.landmarks))


def _cheek(portrait: LoadedPortrait) -> Image:
    """A patch of bare skin: what hands and arms look like from afar."""
    x0, y0, x1, y1 = portrait.box
    left, right = int(x0 + 0.12 * (x1 - x0)), int(x0 + 0.32 * (x1 - x0))
    top, bottom = int(y0 + 0.6 * (y1 - y0)), int(y0 + 0.8 * (y1 - y0))
    return portrait.image[max(top, 0) : bottom, max(left, 0) : right]


def _as_filmed(image: Image, portrait: LoadedPortrait, rng: np.random.Generator) -> Image:
    """In other light than a studio's, out of focus, and partly covered: each of them now and then."""
    width = float(portrait.box[2] - portrait.box[0])
    if rng.random() < 0.35:
        curve = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0.15, 0.45))
        image = np.asarray(cv2.LUT(image, curve.astype(np.uint8)), dtype=np.uint8)
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), width * rng.uniform(0.01, 0.06)), dtype=np.uint8)
    if rng.random() < 0.15:
        image = image.copy()
        low, high = int(portrait.box[1] + width * rng.uniform(0.75, 1.0)), int(portrait.box[3])
        image[low:high] = rng.integers(0, 256, 3)
    return image


def _overlaps(a: Floats, b: Floats) -> bool:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return bool(width > 0 and height > 0)


def _ellipse(height: int, width: int) -> Floats:
    """A feathered ellipse (height, width, 1) of weights 0..1."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(np.clip((1 - np.sqrt(x**2 + y**2)) / 0.15, 0, 1)[:, :, None], dtype=np.float32)


def _mirrored(scene: Scene) -> Scene:
    last = scene.image.shape[1] - 1

    def flip(boxes: Floats) -> Floats:
        return np.stack((last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]), axis=1)

    keypoints = scene.keypoints[:, [1, 0, 2, 4, 3]].copy()
    keypoints[..., 0] = last - keypoints[..., 0]
    return Scene(np.ascontiguousarray(scene.image[:, ::-1]), flip(scene.boxes), keypoints, flip(scene.ignored))
