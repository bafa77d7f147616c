"""Cut a face out of a frame into an aligned square, and remember the matrix that did it.

The template is that of FFHQ crops at 512 x 512 (Karras et al. 2019, arXiv 1812.04948), in the values that face
restoration networks are trained with.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidrestore.geometry import fit_similarity, invert, transform
from vidrestore.types import Face, FaceCrop, Floats, Image

TEMPLATE_SIZE = 512
TEMPLATE = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.02], [201.26, 371.41], [313.09, 371.15]], dtype=np.float32
)
"""Eye centres, nose tip and mouth corners, left of the picture first, in a 512 x 512 crop."""
_SHARP_SHRINK = 1.5
"""Bilinear interpolation itself suffices up to here."""
EMBEDDING_SIZE = 112
EMBEDDING_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
"""Where ArcFace (Deng et al. 2019, arXiv 1801.07698) has the same points in the 112 x 112 crop of an embedding."""
_NOSE_TIP, _MOUTH_LEFT, _MOUTH_RIGHT = 30, 48, 54


def keypoints_of(landmarks: Floats) -> Floats:
    """The five keypoints (..., 5, 2) of 68 landmarks (..., 68, 2)."""
    return np.stack(
        (
            landmarks[..., 36:42, :].mean(axis=-2),
            landmarks[..., 42:48, :].mean(axis=-2),
            landmarks[..., _NOSE_TIP, :],
            landmarks[..., _MOUTH_LEFT, :],
            landmarks[..., _MOUTH_RIGHT, :],
        ),
        axis=-2,
    ).astype(np.float32)


def alignment_matrix(landmarks: Floats, size: int = TEMPLATE_SIZE) -> Floats:
    """Similarity (2, 3) that takes landmarks (68, 2) of a frame to the template in a ``size`` x ``size`` crop."""
    scale = size / TEMPLATE_SIZE
    target = (TEMPLATE + 0.5) * scale - 0.5
    return fit_similarity(keypoints_of(landmarks), target.astype(np.float32)).astype(np.float32)


def before_shrinking(image: Image, shrink: float) -> Image:
    """``image``, blurred as it must be before every ``shrink``-th pixel is taken, or fine texture would alias."""
    if shrink <= _SHARP_SHRINK:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * shrink), dtype=np.uint8)


def cut_aligned(image: Image, matrix: Floats, size: int = TEMPLATE_SIZE) -> Image:
    """The ``size`` x ``size`` crop (size, size, 3) that ``matrix`` (2, 3) makes of ``image``; edges are repeated.

    Enlarges by bicubic interpolation.
    """
    shrink = 1.0 / float(np.hypot(matrix[0, 0], matrix[1, 0]))
    interpolation = cv2.INTER_CUBIC if shrink < 1 else cv2.INTER_LINEAR
    if shrink > _SHARP_SHRINK:
        image, matrix = _around_crop(image, matrix, size, 2 * shrink)
        image = before_shrinking(image, shrink)
    crop = cv2.warpAffine(image, matrix, (size, size), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def _around_crop(image: Image, matrix: Floats, size: int, margin: float) -> tuple[Image, Floats]:
    """The part of ``image`` that the crop of ``matrix`` shows, ``margin`` pixels wider, and the matrix for it."""
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]], dtype=np.float32)
    corners = transform(invert(matrix), square)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(corners.min(axis=0) - margin), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0) + margin) + 1, (left + 1, top + 1), (width, height)).astype(int)
    moved = np.array(matrix, dtype=np.float32)
    moved[:, 2] += moved[:, :2] @ np.array([left, top], dtype=np.float32)
    return image[top:bottom, left:right], moved


def cut_around(image: Image, box: Floats, sides: float) -> Image:
    """The pixels (h, w, 3) of ``sides`` sides of ``box`` (4,) around its middle, where they are in the image.

    Neither turned nor scaled.
    """
    middle, reach = (box[:2] + box[2:]) / 2, sides * (box[2:] - box[:2]) / 2
    left, top = np.rint(np.maximum(middle - reach, 0)).astype(int)
    right, bottom = np.rint(np.maximum(middle + reach, 0)).astype(int)
    return image[top:bottom, left:right]


def crop_face(image: Image, face: Face, size: int = TEMPLATE_SIZE) -> FaceCrop:
    """Cut ``face`` out of its frame."""
    matrix = alignment_matrix(face.landmarks, size)
    return FaceCrop(face, cut_aligned(image, matrix, size), matrix, transform(matrix, face.landmarks))
