"""What time, optics and codecs do to a picture, as seeded recipes.

``moderate`` and ``severe`` are the recipes restoration papers measure with (ReF-LDM, Hsiao et al. 2024, arXiv
2412.05043): blur, downscale, noise, JPEG, upscale. ``footage`` is what old or over-compressed video looks like; the
embedded models are trained on a mixture and measured on ``moderate`` and ``severe``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidrestore.types import Image
from vidrestore.video.recompress import recompress


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One draw of a recipe: all that is needed, with the seed, to do the same again."""

    blur_sigma: float = 0.0
    """Pixels of the full-size picture."""
    downscale: float = 1.0
    noise: float = 0.0
    """Standard deviation in levels, of the small picture."""
    grain: float = 0.0
    """Like noise, but grey and correlated over about 1.5 pixels, as film grain is."""
    jpeg_quality: int | None = None
    h264_crf: int | None = None
    comb_shift: int = 0
    """Pixels by which odd lines are shifted: what is left of interlacing after motion."""
    grey: bool = False
    contrast: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    seed: int = 0


Recipe = Callable[[np.random.Generator], Degradation]


def moderate(rng: np.random.Generator) -> Degradation:
    """Blur 0..8, downscale 1..8, noise 0..15, JPEG 60..100."""
    return Degradation(
        blur_sigma=rng.uniform(0, 8),
        downscale=rng.uniform(1, 8),
        noise=rng.uniform(0, 15),
        jpeg_quality=int(rng.integers(60, 101)),
        seed=int(rng.integers(2**31)),
    )


def severe(rng: np.random.Generator) -> Degradation:
    """Blur 8..16, downscale 8..32, noise 0..20, JPEG 30..100."""
    return Degradation(
        blur_sigma=rng.uniform(8, 16),
        downscale=rng.uniform(8, 32),
        noise=rng.uniform(0, 20),
        jpeg_quality=int(rng.integers(30, 101)),
        seed=int(rng.integers(2**31)),
    )


def footage(rng: np.random.Generator) -> Degradation:
    """Archive film, tape and over-compressed video."""
    downscale = float(np.exp(rng.uniform(np.log(1.5), np.log(14))))
    codec = rng.random()
    fade = rng.random()
    return Degradation(
        blur_sigma=downscale * rng.uniform(0, 0.8),
        downscale=downscale,
        noise=rng.uniform(0, 14) * (rng.random() < 0.7),
        grain=rng.uniform(0, 14) * (rng.random() < 0.3),
        jpeg_quality=int(rng.integers(25, 95)) if codec < 0.3 else None,
        h264_crf=int(rng.integers(20, 40)) if codec >= 0.4 else None,
        comb_shift=int(rng.integers(1, 4)) if rng.random() < 0.04 else 0,
        grey=bool(rng.random() < 0.15),
        contrast=rng.uniform(0.6, 1.1) if fade < 0.3 else 1.0,
        tint=tuple(rng.uniform(0.85, 1.1, 3)) if fade < 0.2 else (1.0, 1.0, 1.0),
        seed=int(rng.integers(2**31)),
    )


def fade(image: Image, degradation: Degradation) -> Image:
    """Only the colour part of ``degradation``: what a restorer must keep as it is."""
    if not (degradation.grey or degradation.contrast != 1 or degradation.tint != (1, 1, 1)):
        return image
    picture = image.astype(np.float32)
    if degradation.grey:
        picture = np.repeat(picture @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32), 3, axis=2)
    picture = (picture - 118) * degradation.contrast + 118
    return np.clip(np.rint(picture * np.array(degradation.tint, dtype=np.float32)), 0, 255).astype(np.uint8)


def degrade(image: Image, degradation: Degradation) -> Image:
    """Apply ``degradation`` to RGB ``image`` (H, W, 3), H and W even; the same size comes back."""
    rng = np.random.default_rng(degradation.seed)
    height, width = image.shape[:2]
    picture = fade(image, degradation).astype(np.float32)
    if degradation.blur_sigma > 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), degradation.blur_sigma)  # type: ignore[assignment]
    small = (_even(width / degradation.downscale), _even(height / degradation.downscale))
    picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    picture = picture + _noise(rng, picture.shape, degradation)
    if degradation.comb_shift:
        picture[1::2] = np.roll(picture[1::2], degradation.comb_shift, axis=1)
    compressed = _compress(np.clip(np.rint(picture), 0, 255).astype(np.uint8), degradation)
    if degradation.grey:
        compressed = np.repeat(compressed.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    if compressed.shape[:2] == (height, width):
        return compressed
    return np.asarray(cv2.resize(compressed, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _even(length: float) -> int:
    return max(16, 2 * round(length / 2))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], degradation: Degradation) -> np.ndarray:
    noise = np.zeros(shape, dtype=np.float32)
    if degradation.noise:
        noise += degradation.noise * rng.standard_normal(shape, dtype=np.float32)
    if degradation.grain:
        grain = cv2.GaussianBlur(rng.standard_normal(shape[:2], dtype=np.float32), (0, 0), 0.75)
        noise += (degradation.grain / grain.std() * grain)[:, :, None]
    return noise


def _compress(image: Image, degradation: Degradation) -> Image:
    if degradation.jpeg_quality is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, degradation.jpeg_quality]
        stored = cv2.imencode(".jpg", image[:, :, ::-1], quality)[1]
        image = np.ascontiguousarray(np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), dtype=np.uint8)[:, :, ::-1])
    if degradation.h264_crf is not None:
        # A second frame, moved by a pixel, is predicted from the first, as most frames of a video are.
        frames = [np.roll(image, 1, axis=1), image]
        options = {"crf": str(degradation.h264_crf), "preset": "veryfast", "bf": "0"}
        image = recompress(frames, "libx264", options)[-1]
    return image
