"""What was done to a clip before it came here, told from the clip alone.

A picture that is made smaller is nearly as sharp as a picture of its size can be, and natural scenes look alike at all
scales; so the clip, made smaller, shows how sharp the original was that nobody has. That idea is Michaeli and Irani's
("Nonparametric blind super-resolution", ICCV 2013). Each number is found by its own means:

* compression: the quantiser that the decoder reads in the stream; where the codec does not tell it, the one of H.264
  that spends as many bits on the same pictures;
* blur: the width of the sharpest edges over their width in the smaller clip;
* noise: that which, added to the smoothed clip before the same compression, leaves as much noise in its flat parts as
  the clip has. Noise that the codec wiped out is neither seen nor needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vidrestore.alignment import alignment_matrix
from vidrestore.self_teaching.blur_and_noise import blur_sigma, noise_sigma
from vidrestore.training.degradations import Degradation, VideoCoding
from vidrestore.types import Analysis, Floats, Identity, Image, Reference, Scan, Span, Track
from vidrestore.video import Coding, read_coding, read_frames, stream_start, without_combs
from vidrestore.video.recompress import bits_per_pixel, recompress

_EXCERPTS = 3
_EXCERPT_FRAMES = 8
_WINDOW = 640
"""Pixels of the side of what is looked at of each frame, at most."""
_PROBABILITIES = np.linspace(0.05, 0.95, 10)
_LEAST_NOISE = 0.5
"""Levels; less is the texture of what is filmed."""
_MOST_NOISE = 24.0
_SMOOTHING = 2.0
"""Sigma in pixels of a blur that leaves no noise to speak of."""


@dataclass(frozen=True, kw_only=True)
class ClipDegradation:
    """How a clip's pictures differ from a sharp and clean original of the same size."""

    blur_sigma: float
    """Pixels of the frame."""
    noise_sigma: float
    """Levels of each of R, G and B, before compression."""
    codec: str
    """FFmpeg's name of the clip's decoder."""
    bits_per_pixel: float
    """Of frames that lean on others."""
    encoder: str
    """The encoder that does the like."""
    quantiser: int
    """In the encoder's units."""
    quantiser_told: bool
    """Whether the stream itself tells it; else it was matched by bits."""
    face_scales: Mapping[int, tuple[float, ...]]
    """Rising quantiles, by identity, of how many pixels of a 512 crop one pixel of the frame becomes."""

    def draw(self, rng: np.random.Generator, scale: float, finer: float) -> Degradation:
        """One draw of what happens to a face in this clip, to be done to a picture that is ``finer`` times finer.

        Args:
            rng: decides noise, motion and the place among the encoder's frames, and varies all numbers a little.
            scale: pixels of a 512 crop that one pixel of the frame becomes; the size of the face.
            finer: by how much the picture was made smaller to stand in for the original; it keeps as much less of the
                clip's own blur.
        """
        frames = int(rng.integers(3, 7))
        missing = self.blur_sigma * float(np.sqrt(1 - 1 / finer**2))
        coding = VideoCoding(
            codec=self.encoder,
            options=_options(self.encoder, self.quantiser + int(rng.integers(-1, 2))),
            frames=frames,
            shown=int(rng.integers(1, frames)),
            drift=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
        )
        return Degradation(
            blur_sigma=scale * missing * rng.uniform(0.85, 1.15),
            downscale=scale,
            noise=self.noise_sigma * rng.uniform(0.8, 1.2),
            video=coding,
            seed=int(rng.integers(2**31)),
        )


def estimate_degradation(source: Path, analysis: Analysis) -> ClipDegradation:
    """Estimate the degradation of ``source`` in a few short excerpts that show its people best.

    Raises:
        VideoError: the video cannot be read.
    """
    moments = _moments(analysis)
    start = float(stream_start(source))
    time_base = float(analysis.video.time_base)
    seconds = [max(0.0, pts * time_base - start) for pts, _ in moments]
    excerpts = [_excerpt(source, analysis.scan, at, centre) for at, (_, centre) in zip(seconds, moments, strict=True)]
    coding = read_coding(source, seconds[0])
    encoder, quantiser = match_coding(coding, excerpts)
    return ClipDegradation(
        # The excerpt with the sharpest edges tells the blur; the others may only be out of focus.
        blur_sigma=round(min(blur_sigma(excerpt) for excerpt in excerpts), 3),
        noise_sigma=round(noise_before_coding(excerpts, encoder, quantiser), 3),
        codec=coding.codec,
        bits_per_pixel=round(coding.bits_per_pixel, 5),
        encoder=encoder,
        quantiser=quantiser,
        quantiser_told=coding.quantiser is not None,
        face_scales={identity.id: _scales(identity, analysis.tracks) for identity in analysis.identities},
    )


def scale_of(landmarks: Floats) -> float:
    """Pixels of an aligned 512 crop that one pixel of the frame of ``landmarks`` (68, 2) becomes."""
    return float(np.hypot(*alignment_matrix(landmarks)[:, 0]))


def landmarks_of(reference: Reference, tracks: Sequence[Track]) -> Floats | None:
    """The landmarks (68, 2) in the frame that ``reference`` was cut from; None where it is not of these tracks."""
    kind, _, number = reference.source.partition(" ")
    if kind != "pts":
        return None
    for track in tracks:
        (found,) = np.nonzero(track.pts == int(number))
        if len(found):
            landmarks: Floats = track.landmarks[found[0]]
            return landmarks
    return None


def match_coding(coding: Coding, excerpts: Sequence[Sequence[Image]]) -> tuple[str, int]:
    """Encoder and quantiser that compress ``excerpts``, runs of pictures (H, W, 3), as ``coding`` does."""
    if coding.quantiser is not None:
        encoders = {"h264": "libx264", "mpeg4": "mpeg4"}
        return encoders.get(coding.codec, "mpeg2video"), round(coding.quantiser)

    def bits(quantiser: float) -> float:
        options = dict(_options("libx264", round(quantiser)))
        return -float(np.mean([bits_per_pixel(images, "libx264", options) for images in excerpts if len(images) > 1]))

    several = any(len(images) > 1 for images in excerpts)
    return "libx264", round(_rising_to(bits, -coding.bits_per_pixel, 0, 51)) if several else 23


def noise_before_coding(excerpts: Sequence[Sequence[Image]], encoder: str, quantiser: int) -> float:
    """Sigma in levels, of each of R, G and B, of the noise that compression left of in ``excerpts``."""
    wanted = float(np.mean([noise_sigma(image) for images in excerpts for image in images]))
    if wanted < _LEAST_NOISE:
        return 0.0
    smooth = [[_smoothed(image) for image in images] for images in excerpts]
    options = dict(_options(encoder, quantiser))

    def left(sigma: float) -> float:
        rng = np.random.default_rng(0)
        noisy = [[_with_noise(image, sigma, rng) for image in images] for images in smooth]
        return float(np.mean([noise_sigma(i) for images in noisy for i in recompress(images, encoder, options)]))

    return _rising_to(left, wanted, 0.0, _MOST_NOISE)


def _rising_to(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where the function ``rising`` reaches ``wanted`` between ``low`` and ``high``, by bisection."""
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def _options(encoder: str, quantiser: int) -> tuple[tuple[str, str], ...]:
    """Options of ``encoder`` for one quantiser everywhere."""
    if encoder == "libx264":
        return (("qp", str(min(max(quantiser, 0), 51))), ("preset", "medium"))
    level = str(min(max(quantiser, 1), 31))
    return (("qmin", level), ("qmax", level), ("g", "12"))


def _moments(analysis: Analysis) -> list[tuple[int, Floats | None]]:
    """The pts of the best reference of a few people, and the middle of each face; else the start of the video."""
    found: list[tuple[int, Floats | None]] = []
    for identity in analysis.identities:
        for reference in identity.references:
            landmarks = landmarks_of(reference, _tracks_of(identity, analysis.tracks))
            if landmarks is not None:
                found.append((int(reference.source.split()[1]), landmarks.mean(axis=0)))
                break
    first = [(shot.first, None) for shot in analysis.shots[:1]]
    return found[:_EXCERPTS] or [*first] or [(0, None)]


def _excerpt(source: Path, scan: Scan, start: float, centre: Floats | None) -> list[Image]:
    """A few frames from ``start`` on, in seconds; of large ones, a window around ``centre`` (2,)."""
    frames = without_combs(read_frames(source, Span(start)), scan)
    return [_window(frame.image, centre) for frame in islice(frames, _EXCERPT_FRAMES)]


def _window(image: Image, centre: Floats | None) -> Image:
    height, width = image.shape[:2]
    middle = np.array((width / 2, height / 2)) if centre is None else centre
    size = np.minimum((width, height), _WINDOW) // 4 * 4  # also half of it is even
    left, top = np.clip(middle - size / 2, 0, (width, height) - size).astype(int)
    return np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])


def _tracks_of(identity: Identity, tracks: Sequence[Track]) -> list[Track]:
    return [track for track in tracks if track.id in identity.track_ids]


def _scales(identity: Identity, tracks: Sequence[Track]) -> tuple[float, ...]:
    scales = [scale_of(landmarks) for track in _tracks_of(identity, tracks) for landmarks in track.landmarks]
    return tuple(round(float(scale), 3) for scale in np.quantile(scales, _PROBABILITIES))


def _smoothed(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SMOOTHING), dtype=np.uint8)


def _with_noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    noisy = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
