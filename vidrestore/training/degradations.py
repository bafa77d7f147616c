"""What time, optics and codecs do to a picture, as seeded recipes.

``moderate`` and ``severe`` are the recipes restoration papers measure with (ReF-LDM, Hsiao et al. 2024, arXiv
2412.05043): blur, downscale, noise, JPEG, upscale. ``footage`` is what old or over-compressed video looks like: the
face stands small and slightly turned in a few moving frames, which a real encoder compresses, and is cut out again.
The embedded models are trained on a mixture and measured on ``moderate`` and ``severe``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidrestore.types import Floats, Image
from vidrestore.video.recompress import recompress


@dataclass(frozen=True, kw_only=True)
class VideoCoding:
    """Compression as one of several consecutive frames."""

    codec: str = "libx264"
    """An encoder name of FFmpeg."""
    options: tuple[tuple[str, str], ...] = (("crf", "23"), ("preset", "veryfast"))
    frames: int = 4
    shown: int = 2
    """Which of the frames becomes the picture, from 0."""
    drift: tuple[float, float] = (0.6, 0.2)
    """By how many pixels of the small picture the scene moves from frame to frame, to the right and down."""
    weave: float = 0.0
    """Standard deviation, in pixels of the small picture, by which each frame jumps: film in a worn gate."""
    interlaced: bool = False
    """Odd lines show the scene half a frame later than even ones, so what moves is combed, as on tape."""


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
    video: VideoCoding | None = None
    turn: float = 0.0
    """Degrees by which the face leans in the small picture."""
    comb_shift: int = 0
    """Pixels by which odd lines of a still are shifted, as if something had moved between two fields."""
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
    downscale = float(np.exp(rng.uniform(np.log(1.2), np.log(14))))
    codec = rng.random()
    fade = rng.random()
    return Degradation(
        blur_sigma=downscale * rng.uniform(0, 1.2),
        downscale=downscale,
        noise=rng.uniform(0, 14) * (rng.random() < 0.7),
        grain=rng.uniform(0, 14) * (rng.random() < 0.3),
        jpeg_quality=int(rng.integers(25, 95)) if codec < 0.2 else None,
        video=_coding(rng) if codec >= 0.25 else None,
        turn=10.0 * rng.standard_normal(),
        comb_shift=int(rng.integers(1, 4)) if rng.random() < 0.04 and codec < 0.25 else 0,
        grey=bool(rng.random() < 0.15),
        contrast=rng.uniform(0.6, 1.1) if fade < 0.3 else 1.0,
        tint=tuple(rng.uniform(0.85, 1.1, 3)) if fade < 0.2 else (1.0, 1.0, 1.0),
        seed=int(rng.integers(2**31)),
    )


def _coding(rng: np.random.Generator) -> VideoCoding:
    """H.264 as on the web, or MPEG-2 and MPEG-4 as on discs, tapes' copies and early cameras."""
    kind = rng.random()
    if kind < 0.7:
        preset = ("veryfast", "fast", "medium")[int(rng.integers(3))]
        codec, options = "libx264", {"crf": str(int(rng.integers(20, 40))), "preset": preset}
    else:
        quantiser = str(int(rng.integers(2, 16)))
        codec = "mpeg2video" if kind < 0.85 else "mpeg4"
        options = {"qmin": quantiser, "qmax": quantiser, "g": "12"}
    interlaced = bool(rng.random() < 0.05)
    # A comb shows where something moves by more than a pixel; fewer frames keep the face inside the picture.
    frames = 3 if interlaced else int(rng.integers(3, 7))
    drift = (2.0 if interlaced else 1.0) * rng.uniform(-1.5, 1.5, 2) * (rng.random() < 0.8)
    shown = int(rng.integers(frames))
    return VideoCoding(
        codec=codec,
        options=tuple(options.items()),
        frames=frames,
        shown=shown,
        drift=(float(drift[0]), float(drift[1])),
        weave=rng.uniform(0.2, 1.5) if rng.random() < 0.05 else 0.0,
        interlaced=interlaced,
    )


def describe(degradation: Degradation) -> str:
    """A degradation in a few words, for captions."""
    coding = degradation.video
    parts = [
        f"1/{degradation.downscale:.1f} size" if degradation.downscale > 1 else "",
        f"blur {degradation.blur_sigma:.1f}" if degradation.blur_sigma > 0.1 else "",
        f"noise {degradation.noise:.0f}" if degradation.noise else "",
        f"grain {degradation.grain:.0f}" if degradation.grain else "",
        f"JPEG {degradation.jpeg_quality}" if degradation.jpeg_quality is not None else "",
        f"{coding.codec} {coding.options[0][0]} {coding.options[0][1]}" if coding is not None else "",
        "interlaced" if degradation.comb_shift or (coding is not None and coding.interlaced) else "",
        "weaving" if coding is not None and coding.weave else "",
        "grey" if degradation.grey else "",
        "faded" if degradation.contrast != 1 or degradation.tint != (1, 1, 1) else "",
    ]
    return ", ".join(part for part in parts if part) or "untouched"


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
    frames, moves = _filmed(picture, degradation, rng)
    shown = 0
    if (coding := degradation.video) is not None:
        frames, shown = recompress(frames, coding.codec, dict(coding.options)), coding.shown
    compressed = _jpeg(frames[shown], degradation.jpeg_quality)
    if degradation.grey:
        compressed = np.repeat(compressed.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    if compressed.shape[:2] != (height, width):
        compressed = np.asarray(cv2.resize(compressed, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    move = moves[shown]
    if move is None:
        return compressed
    back = cv2.warpAffine(
        compressed, move, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(back, dtype=np.uint8)


def _filmed(
    picture: Floats, degradation: Degradation, rng: np.random.Generator
) -> tuple[list[Image], list[Floats | None]]:
    """The small frames of a moving full-size ``picture`` (H, W, 3), and how each one moved it."""
    size = (picture.shape[1], picture.shape[0])
    coding = degradation.video or VideoCoding(frames=1, drift=(0.0, 0.0))
    jumps = np.zeros((coding.frames, 2))
    if coding.weave:
        jumps += coding.weave * rng.standard_normal(jumps.shape)
    steps = jumps + np.arange(coding.frames)[:, None] * coding.drift
    moves = [_movement(degradation, step, size) for step in steps]
    frames = [_captured(picture, move, degradation, rng) for move in moves]
    if coding.interlaced:
        for frame, step in zip(frames, steps, strict=True):
            later = _movement(degradation, step + 0.5 * np.array(coding.drift), size)
            frame[1::2] = _captured(picture, later, degradation, rng)[1::2]
    return frames, moves


def _movement(degradation: Degradation, step: np.ndarray, size: tuple[int, int]) -> Floats | None:
    """The matrix (2, 3) that turns the full-size picture and shifts it by ``step`` (2,) small pixels; None for none."""
    if degradation.turn == 0 and not step.any():
        return None
    centre = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, degradation.turn, 1.0), dtype=np.float64)
    matrix[:, 2] += degradation.downscale * step
    return matrix.astype(np.float32)


def _captured(picture: Floats, move: Floats | None, degradation: Degradation, rng: np.random.Generator) -> Image:
    """One small, noisy frame of the full-size ``picture`` (H, W, 3)."""
    height, width = picture.shape[:2]
    if move is not None:
        moved = cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = np.asarray(moved, dtype=np.float32)
    small = (_even(width / degradation.downscale), _even(height / degradation.downscale))
    frame = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
    frame = frame + _noise(rng, frame.shape, degradation)
    if degradation.comb_shift:
        frame[1::2] = np.roll(frame[1::2], degradation.comb_shift, axis=1)
    return np.asarray(np.clip(np.rint(frame), 0, 255), dtype=np.uint8)


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


def _jpeg(image: Image, quality: int | None) -> Image:
    if quality is None:
        return image
    stored = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), dtype=np.uint8)[:, :, ::-1])
