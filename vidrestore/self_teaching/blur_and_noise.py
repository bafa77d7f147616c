"""What pictures tell of their own blur and noise, without an original.

Blur by the width of the sharpest edges, from how much blurring them anew changes them (Zhuo and Sim, "Defocus map
estimation from a single image", Pattern Recognition 2011); noise by the curvature of the flat parts (Immerkaer, "Fast
noise variance estimation", Computer Vision and Image Understanding 1996).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidrestore.types import Floats, Image

_EDGES = 97
"""Percentile of the gradient above which a pixel is at an edge."""
_SHARPEST = 20
"""Percentile of the widths of edges that counts: the others were soft before there was a camera."""
_WIDE_BLUR = 1.2
"""Blurs from this sigma on are measured in a picture half the size, where they are half as wide."""
_SMALLEST_SIDE = 64
"""Pixels below which a picture is not halved to measure a wide blur."""
_FLAT = 10
"""Percentile of the gradient up to which a pixel is in a flat part."""
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_NORMAL_MEAN = float(np.sqrt(np.pi / 2))
"""Sigma of normal noise over the mean of its magnitude."""


def blur_sigma(images: Sequence[Image]) -> float:
    """Sigma in pixels of the Gaussian blur of ``images`` (H, W, 3), beside others of the scene that are sharp.

    Good to about 0.3 pixels: scenes without any sharp edge look blurred.
    """
    smaller = [_halved(image) for image in images]
    own, finer = (float(np.mean([_edge_width(image) for image in each])) for each in (images, smaller))
    # Half the size leaves half the blur, a quarter of its variance.
    sigma = float(np.sqrt(max(0.0, own**2 - finer**2) * 4 / 3))
    if sigma > _WIDE_BLUR and min(smaller[0].shape[:2]) >= _SMALLEST_SIDE:
        return 2 * blur_sigma(smaller)
    return sigma


def noise_sigma(image: Image) -> float:
    """Sigma in levels of the noise in the luma of the flat parts of ``image`` (H, W, 3); Immerkaer's operator."""
    luma = _luma(image)
    inside = (luma > 16) & (luma < 240)
    gradient = _gradient(cv2.GaussianBlur(luma, (0, 0), 2.0))  # type: ignore[arg-type]
    flat = inside & (gradient <= np.percentile(gradient, _FLAT))
    if not flat.any():
        return 0.0
    return float(np.abs(cv2.filter2D(luma, -1, _LAPLACIAN))[flat].mean()) / 6 * _NORMAL_MEAN


def _edge_width(image: Image) -> float:
    """Sigma of the sharpest edges of ``image``: of a step blurred by it, blurring by one pixel more takes
    ``sqrt(1 + 1 / sigma^2)`` of the gradient.
    """
    luma = _luma(image)
    sharp, soft = _gradient(luma), _gradient(np.asarray(cv2.GaussianBlur(luma, (0, 0), 1.0), dtype=np.float32))
    edge = sharp >= np.percentile(sharp, _EDGES)
    ratio = float(np.percentile(sharp[edge] / np.maximum(soft[edge], 1e-3), 100 - _SHARPEST))
    return 1 / float(np.sqrt(max(ratio, 1.01) ** 2 - 1))


def _gradient(luma: Floats) -> Floats:
    return np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1))


def _luma(image: Image) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _halved(image: Image) -> Image:
    """``image`` (H, W, 3) at half its size, by averaging areas; the sides are even."""
    height, width = image.shape[:2]
    size = (max(2, width // 4 * 2), max(2, height // 4 * 2))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
