"""Figures that compare pictures, faces and their motion: one pure function for each, with its formula and source.

Pictures are RGB uint8 ``(H, W, 3)``; lengths between landmarks are in eye distances of the truth, so that they do not
depend on how large a face is. A figure that the *truth* leaves undefined is NaN. A video that is measured never gets a
NaN for what it failed at: it is charged. ``docs/metrics.md`` says how each figure could be gamed, and why it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from vidrestore.geometry import eye_distance
from vidrestore.types import Floats, Image

Reals = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

EQUAL_DB = 100.0
"""PSNR of two equal pictures."""
NOT_FOUND = 1.0
"""Error in eye distances that a face is charged whose landmarks were not found; those found never count more."""
CLEAR_FALL = 0.02
"""Fall of the identity similarity that encoding a video anew does not cause by itself."""
SSIM_WINDOW = 11
"""Pixels of the side of the window, and so of the smallest picture."""
_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


def luma(image: Image) -> Reals:
    """Brightness ``(H, W)``, 0..255: ``0.299 R + 0.587 G + 0.114 B`` (ITU-R BT.601)."""
    return np.asarray(image @ _LUMA, dtype=np.float64)


def psnr(picture: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB: ``10 log10(255^2 / mean squared error)`` over RGB; 100 where both are equal."""
    error = float(np.mean((picture.astype(np.float64) - truth) ** 2))
    return EQUAL_DB if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(picture: Image, truth: Image) -> float:
    """Structural similarity of the luma, 1 where equal: Wang et al. 2004, "Image quality assessment", TIP 13(4).

    Mean over the pixels whose window lies inside of ``(2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 +
    s_y^2 + C2))``, with Gaussian windows of 11 x 11 (sigma 1.5), ``C1 = (0.01 * 255)^2`` and ``C2 = (0.03 * 255)^2``.

    Raises:
        ValueError: the pictures are smaller than the window.
    """
    from skimage.metrics import structural_similarity

    compare: Callable[..., float] = structural_similarity
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(compare(luma(picture), luma(truth), data_range=255.0, **window))


def identity_similarity(embedding: Floats, truth: Floats) -> float:
    """Cosine of two normalised embeddings ``(D,)``, -1..1 (ArcFace: Deng et al. 2019, arXiv 1801.07698)."""
    return float(embedding.astype(np.float64) @ truth)


def identity_drift(embedding: Floats, previous: Floats) -> float:
    """How far an identity moves in a frame: ``|e_t - e_(t-1)|`` of normalised embeddings, 0..2.

    VIDD of Chen et al. 2024, "Towards real-world video face restoration" (FOS), arXiv 2404.19500.
    """
    return float(np.linalg.norm(embedding.astype(np.float64) - previous))


def harm(before: Reals, after: Reals, margin: float = 0.0) -> float:
    """Share 0..1 of faces whose identity similarity ``(F,)`` fell by more than ``margin``; NaN where none has any."""
    fall = before - after
    known = np.isfinite(fall)
    return float((fall[known] > margin).mean()) if known.any() else math.nan


def landmark_error(landmarks: Floats | None, truth: Floats) -> float:
    """Mean distance of landmarks ``(68, 2)`` from the truth's, in eye distances.

    The normalised mean error of the 300-W challenge (Sagonas et al. 2013), between eye centres. None is a face that
    was not found, and costs ``NOT_FOUND``.
    """
    if landmarks is None:
        return NOT_FOUND
    return _mean_length(landmarks - truth, eye_distance(truth))


def landmark_motion(landmarks: Floats | None, previous: Floats | None, truth: Floats) -> float:
    """Mean way of landmarks ``(68, 2)`` from one frame to the next, in eye distances of ``truth``; None as above."""
    if landmarks is None or previous is None:
        return NOT_FOUND
    return _mean_length(landmarks - previous, eye_distance(truth))


def landmark_motion_error(
    landmarks: Floats | None, previous: Floats | None, truth: Floats, previous_truth: Floats
) -> float:
    """Mean length of ``(l_t - l_(t-1)) - (g_t - g_(t-1))`` over the 68 landmarks, in eye distances; None as above.

    TLME of Xu et al. 2024, "Beyond alignment: blind video face restoration via parsing-guided temporal-coherent
    transformer" (PGTFormer), arXiv 2404.13640: shaking costs, and so does standing still where the truth moves.
    """
    if landmarks is None or previous is None:
        return NOT_FOUND
    return _mean_length((landmarks - previous) - (truth - previous_truth), eye_distance(truth))


def _mean_length(vectors: Floats, unit: float) -> float:
    return min(float(np.linalg.norm(vectors.astype(np.float64), axis=-1).mean()) / max(unit, 1e-6), NOT_FOUND)


def flow_to_previous(truth: Image, previous: Image) -> tuple[Floats, Mask]:
    """Where each pixel of ``truth`` was in ``previous``, as offsets ``(H, W, 2)``, and which of them are to be trusted.

    Dense inverse search (Kroeger et al. 2016, arXiv 1603.03590) on the luma. An offset ``f`` is trusted where it ends
    inside the picture and the flow ``b`` back from there agrees: ``|f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5`` (Sundaram
    et al. 2010, "Dense point trajectories by GPU-accelerated large displacement optical flow"). Sides have at least 12
    pixels.
    """
    now, then = (np.rint(luma(image)).astype(np.uint8) for image in (truth, previous))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(search.calc(now, then, np.empty(0, dtype=np.float32)), dtype=np.float32)
    back = np.asarray(search.calc(then, now, np.empty(0, dtype=np.float32)), dtype=np.float32)
    returned = _moved(back, flow)
    lengths = (flow**2).sum(axis=2) + (returned**2).sum(axis=2)
    agrees = ((flow + returned) ** 2).sum(axis=2) < 0.01 * lengths + 0.5
    columns, rows = (grid + flow[..., axis] for axis, grid in enumerate(_grids(flow)))
    inside = (columns >= 0) & (columns <= flow.shape[1] - 1) & (rows >= 0) & (rows <= flow.shape[0] - 1)
    return flow, np.asarray(agrees & inside)


def warping_error(picture: Image, previous: Image, flow: Floats, trusted: Mask) -> float:
    """Flicker: root mean squared difference, in levels, of ``picture`` from ``previous`` moved along ``flow``.

    ``sqrt(sum M |V_t - W(V_(t-1))|^2 / 3 sum M)`` after Lai et al. 2018, "Learning blind video temporal consistency",
    arXiv 1808.00449. ``flow`` and ``trusted`` (the mask M) are those of the truth, so a video does not choose them.
    NaN where no pixel is trusted.
    """
    if not trusted.any():
        return math.nan
    difference = picture.astype(np.float64) - _moved(previous.astype(np.float32), flow)
    return float(np.sqrt(np.mean(difference[trusted] ** 2)))


def _moved(image: Floats, flow: Floats) -> Floats:
    """``image`` ``(H, W, C)`` read at each pixel's offset."""
    columns, rows = _grids(flow)
    moved = cv2.remap(
        image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, dtype=np.float32)


def _grids(flow: Floats) -> tuple[Floats, Floats]:
    """Column and row of each pixel, each ``(H, W)``."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns, rows


def sharpness_ratio(picture: Image, truth: Image) -> float:
    """Root mean squared gradient of ``picture`` over that of ``truth``: below 1 softer, above 1 sharper or noisier.

    Sobel gradients of the luma (Krotkov 1988, "Focusing": the Tenengrad measure). NaN where the truth has none.
    """
    wanted = _energy(truth, truth)
    return math.sqrt(_energy(picture, picture) / wanted) if wanted > 0 else math.nan


def detail_ratio(picture: Image, truth: Image) -> float:
    """How much of the truth's detail is there: ``<g, g_truth> / <g_truth, g_truth>`` of the gradient fields.

    The coefficient of the least squares fit of the truth's gradients to the picture's: 1 for the truth, 0 for a flat
    picture. Noise has nothing in common with the truth's edges and does not raise it. NaN where the truth has none.
    """
    wanted = _energy(truth, truth)
    return _energy(picture, truth) / wanted if wanted > 0 else math.nan


def _energy(first: Image, second: Image) -> float:
    """Mean scalar product of the Sobel gradients of two pictures, away from the border, where they are guessed."""
    total = 0.0
    for order in ((1, 0), (0, 1)):
        one, other = (cv2.Sobel(luma(image), cv2.CV_64F, *order)[1:-1, 1:-1] for image in (first, second))
        total += float(np.mean(one * other))
    return total
