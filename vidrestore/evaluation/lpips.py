"""LPIPS by a network that the user has: none ships with vidrestore, and without one there is no such figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vidrestore import weights
from vidrestore.alignment import alignment_matrix, cut_aligned
from vidrestore.errors import WeightsError
from vidrestore.types import Floats, Image

_SIZE = 256
"""Side of the aligned faces where the network takes any."""


class Lpips:
    """Learned perceptual distance of two faces (Zhang et al. 2018, arXiv 1801.03924), by an ONNX file.

    The file has two inputs ``(1, 3, H, W)`` float32, RGB in -1..1, and as its first output one number. Faces are cut
    out as FFHQ aligns them, by the truth's landmarks in both pictures, at the size that the file asks for, or 256.
    """

    def __init__(self, path: Path) -> None:
        """Load the network.

        Raises:
            WeightsError: no such file, no ONNX, or other inputs and outputs.
        """
        if not path.is_file():
            raise WeightsError(f"--lpips {path} does not exist: give an ONNX file (see docs/metrics.md)")
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own kinds for what it cannot read
            raise WeightsError(f"--lpips {path} cannot be loaded as ONNX ({error})") from error
        self._inputs = [item.name for item in self._session.get_inputs()]
        shapes = [item.shape for item in self._session.get_inputs()]
        if len(shapes) != 2 or any(len(shape) != 4 for shape in shapes):
            raise WeightsError(f"--lpips {path} has inputs {shapes}, expected two of (1, 3, H, W)")
        side = shapes[0][2]
        self._size = side if isinstance(side, int) else _SIZE
        self.name = f"{path.name}, sha256 {weights.sha256(path)[:16]}"

    def __call__(self, picture: Image, truth: Image, landmarks: Floats) -> float:
        """The distance of the face with ``landmarks`` ``(68, 2)`` in ``picture`` from that in ``truth``.

        Raises:
            WeightsError: the network fails, or gives more than one number.
        """
        matrix = alignment_matrix(landmarks, self._size)
        faces = [self._tensor(cut_aligned(image, matrix, self._size)) for image in (picture, truth)]
        try:
            answer = np.asarray(self._session.run(None, dict(zip(self._inputs, faces, strict=True)))[0])
        except Exception as error:  # as above
            raise WeightsError(f"the LPIPS network {self.name} failed ({error}): see docs/metrics.md") from error
        if answer.size != 1:
            raise WeightsError(f"the LPIPS network {self.name} gives {answer.shape}, expected one number")
        return float(answer.reshape(()))

    @staticmethod
    def _tensor(face: Image) -> Floats:
        return np.ascontiguousarray(face.transpose(2, 0, 1)[None], dtype=np.float32) / 127.5 - 1
