"""Faces by insightface, from a folder of ONNX files. The only place that speaks BGR."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from insightface.app.common import Face as InsightFace

from vidrestore.alignment import EMBEDDING_SIZE, EMBEDDING_TEMPLATE, cut_aligned, keypoints_of
from vidrestore.config import FacesSettings
from vidrestore.errors import WeightsError
from vidrestore.geometry import box_of, fit_similarity, invert, overlap, transform
from vidrestore.types import Detection, Floats, Image

_LANDMARK_TASKS = ("landmark_2d_68", "landmark_3d_68")
_MODULES = ("detection", "recognition", *_LANDMARK_TASKS)
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
_SUPPRESSION = 0.4
"""Overlap above which the weaker of two detections goes; insightface's own value."""
SAME_PERSON = 0.4
"""Cosine from which two faces are one person's, for ArcFace networks as insightface publishes them.

Published thresholds for them lie between 0.3 and 0.4; the upper end, because a wrong merge is worse than a missed one.
"""
MIN_SPREAD = 0.16
"""Root mean square distance of the landmarks from their centre, in sides of the box, below which it is no face.

A face's 68 points have about 0.35. The compact landmark network draws the points together as it doubts the face.
"""
MAX_DISAGREEMENT = 0.2
"""Mean distance, in sides of the box, between the detector's keypoints and those of the landmarks for one face.

Two networks that look at the same face agree; at a texture that fools one of them they do not.
"""
_LOOSE_OVERLAP = 0.6
"""Overlap of the detector's box with that of the landmarks below which the landmarks are looked for again."""
_SAME_FACE_OVERLAP = 0.5
_ENLARGED = 640
"""Pictures with a smaller longest side are enlarged to this to be searched."""
_CELL = 32
"""Detectors take pictures of whole cells of this side."""
_SURE = 0.95
"""Small faces of a lower score are looked at more closely."""
_CLOSE_FACE, _CLOSE_SIDE = 64, 256
"""Pixels of a closer look: how high the face stands in it, and its sides. Higher faces are not small."""
_CLOSE_OVERLAP = 0.3
"""Of the face from afar and from near, from which on they are one."""
_MOST_CLOSER_LOOKS = 64
"""In one picture, the surest first: gravel and leaves give thousands of detections."""
_STEADY = 0.1
"""How far the landmarks may move, in sides of the box, when a second look is repeated in their own box."""
_SMALL = 32.0
_SMALL_STEADY = 0.05
"""The same for detections lower than ``_SMALL`` pixels: pebbles and leaves look like faces from afar."""
_LEVEL_DEGREES = 12.0
"""Faces that lean more are levelled before their landmarks are looked for."""
_LOOK_SCORE = 0.3
"""Score of a face that only the landmark network saw."""
_FOREHEAD = 0.22
"""What detectors' boxes have above the brows, in heights of the landmarks' box; measured on the training portraits."""


class InsightFaceDetector:
    """Detection, 68 landmarks and embedding of a model pack in insightface's format.

    Each detection gets a second look by the landmark network, which removes what is no face.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        licence: str,
        settings: FacesSettings,
        device: str,
        same_person: float = SAME_PERSON,
    ) -> None:
        self.name, self.licence, self.same_person = name, licence, same_person
        self._longest = settings.detection_size
        self._analysis = _load(folder, settings, device)
        sessions = [model.session for model in self._analysis.models.values()]
        self.device = "cpu" if sessions[0].get_providers()[0] == "CPUExecutionProvider" else device
        self._landmarks = next(self._analysis.models[task] for task in _LANDMARK_TASKS if task in self._analysis.models)

    def detect(self, image: Image) -> Sequence[Detection]:
        """Faces of an RGB picture (H, W, 3), surest first."""
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        candidates = [
            (row, points)
            for size in search_sizes(bgr.shape[1], bgr.shape[0], self._longest)
            for row, points in zip(
                *self._analysis.det_model.detect(bgr, input_size=size, max_num=0, metric="default"), strict=True
            )
        ]
        found: list[Detection] = []
        looked_at: list[Floats] = []
        for row, points in sorted(candidates, key=lambda candidate: -float(candidate[0][4])):
            if _repeats(row[:4], found):
                continue
            if row[4] < _SURE and row[3] - row[1] < _CLOSE_FACE:
                if len(looked_at) == _MOST_CLOSER_LOOKS or _overlaps(row[:4], looked_at):
                    continue
                looked_at.append(row[:4])
                closer = self._look_closer(bgr, row[:4])
                if closer is None:
                    continue
                row, points = closer  # noqa: PLW2901
            detection = self._examine(bgr, row[:4], float(row[4]), points)
            if detection is not None and not _repeats(detection.box, found):
                found.append(detection)
        return found

    def look(self, image: Image, boxes: Sequence[Floats]) -> list[Detection | None]:
        """A second look where faces ought to be: what the landmark network sees in each box, or None. No embeddings."""
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        found: list[Detection | None] = []
        for box in boxes:
            landmarks = self._landmarks_in(bgr, box)
            if _spread(landmarks, box) < MIN_SPREAD:
                found.append(None)
                continue
            again = self._once_more(bgr, landmarks)
            sure = _distance(again, landmarks) < _STEADY and _spread(again, face_box(landmarks)) >= MIN_SPREAD
            found.append(_detection(_LOOK_SCORE, again, None) if sure else None)
        return found

    def embed(self, image: Image, landmarks: Floats) -> Floats | None:
        """Who is it: the normalised embedding (D,) of the face with landmarks (68, 2) in an RGB picture (H, W, 3).

        None where the pack has no network for it.
        """
        return self._embedding_of(np.ascontiguousarray(image[:, :, ::-1]), keypoints_of(landmarks))

    def _look_closer(self, bgr: Image, box: Floats) -> tuple[Floats, Floats] | None:
        """The face in ``box`` as it is detected where it is ``_CLOSE_FACE`` pixels high: row (5,) of box and score, and
        keypoints (5, 2); None where it is no face from near.

        From afar leaves and stones are like faces, and faces like nothing; from near detectors tell them apart.
        """
        scale = _CLOSE_FACE / max(float(box[3] - box[1]), 1.0)
        centre = (box[:2] + box[2:]) / 2
        matrix = np.column_stack([scale * np.eye(2), _CLOSE_SIDE / 2 - scale * centre])
        size = (_CLOSE_SIDE, _CLOSE_SIDE)
        near = cv2.warpAffine(bgr, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        rows, points = self._analysis.det_model.detect(near, input_size=size, max_num=0, metric="default")
        there = transform(matrix, box.reshape(2, 2)).reshape(1, 4)
        same = [index for index, row in enumerate(rows) if float(overlap(there, row[None, :4])[0, 0]) > _CLOSE_OVERLAP]
        if not same:
            return None
        best = max(same, key=lambda index: float(rows[index][4]))
        back = invert(matrix)
        corners = transform(back, rows[best][:4].reshape(2, 2)).reshape(4)
        return np.append(corners, rows[best][4]).astype(np.float32), transform(back, points[best])

    def _examine(self, bgr: Image, box: Floats, score: float, keypoints: Floats) -> Detection | None:
        """The detection with landmarks and embedding, or None where the second look sees no face."""
        landmarks = self._landmarks_in(bgr, box, _roll(keypoints))
        apart = float(np.linalg.norm(keypoints_of(landmarks) - keypoints, axis=1).mean()) / _side(box)
        if _spread(landmarks, box) < MIN_SPREAD or apart > MAX_DISAGREEMENT:
            return None
        centred = face_box(landmarks)
        if float(overlap(centred[None], box[None])[0, 0]) < _LOOSE_OVERLAP:
            landmarks = self._landmarks_in(bgr, centred, _roll(keypoints_of(landmarks)))
            if _spread(landmarks, centred) < MIN_SPREAD:
                return None
        if box[3] - box[1] < _SMALL and _distance(self._once_more(bgr, landmarks), landmarks) > _SMALL_STEADY:
            return None
        return _detection(score, landmarks, self._embedding_of(bgr, keypoints_of(landmarks)))

    def _once_more(self, bgr: Image, landmarks: Floats) -> Floats:
        """Landmarks looked for again in their own box: on a face they stay, on anything else they move along."""
        return self._landmarks_in(bgr, face_box(landmarks), _roll(keypoints_of(landmarks)))

    def _embedding_of(self, bgr: Image, keypoints: Floats) -> Floats | None:
        """Who is it: the normalised embedding (D,), or None where the pack has no network for it."""
        recognition = self._analysis.models.get("recognition")
        if recognition is None:
            return None
        # Aligned here and not by insightface, whose way calls what scikit-image is about to drop.
        matrix = fit_similarity(keypoints, EMBEDDING_TEMPLATE).astype(np.float32)
        raw = recognition.get_feat(cut_aligned(bgr, matrix, EMBEDDING_SIZE)).flatten()
        return np.asarray(raw / max(float(np.linalg.norm(raw)), 1e-6), dtype=np.float32)

    def _landmarks_in(self, bgr: Image, box: Floats, roll: float = 0.0) -> Floats:
        """Landmarks (68, 2) of the face in ``box``, whose eyes stand at ``roll`` degrees.

        The networks learnt from upright faces, so a face that leans is levelled for them.
        """
        if abs(roll) < _LEVEL_DEGREES:
            return self._plain_landmarks(bgr, box)
        side = float(max(box[2] - box[0], box[3] - box[1]))
        centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
        matrix = np.asarray(cv2.getRotationMatrix2D(centre, roll, 1.0), dtype=np.float64)
        reach = 1.5 * side
        matrix[:, 2] += reach - np.array(centre)
        size = (int(2 * reach), int(2 * reach))
        level = np.asarray(cv2.warpAffine(bgr, matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
        middle = np.array([reach - side / 2, reach - side / 2, reach + side / 2, reach + side / 2], dtype=np.float32)
        return transform(invert(matrix), self._plain_landmarks(level, middle))

    def _plain_landmarks(self, bgr: Image, box: Floats) -> Floats:
        face = InsightFace(bbox=np.asarray(box, dtype=np.float32))
        self._landmarks.get(bgr, face)
        return np.asarray(face[self._landmarks.taskname][:, :2], dtype=np.float32)


def search_sizes(width: int, height: int, longest: int) -> list[tuple[int, int]]:
    """Sizes (w, h) at which a picture is searched for faces, largest first, padded to multiples of 32.

    Small faces are found at the picture's own size (at most ``longest``, and small pictures are enlarged to it, up to
    640), large ones in soft focus at a half and a quarter of that.
    """
    top = min(longest, max(width, height, _ENLARGED))
    scales = [side / max(width, height) for side in (top, top / 2, top / 4) if side == top or side >= _ENLARGED / 2]
    return [(_whole_cells(width * scale), _whole_cells(height * scale)) for scale in scales]


def _whole_cells(length: float) -> int:
    return max(1, int(np.ceil(length / _CELL - 1e-6))) * _CELL


def _detection(score: float, landmarks: Floats, embedding: Floats | None) -> Detection:
    return Detection(face_box(landmarks), min(score, 1.0), keypoints_of(landmarks), landmarks, embedding)


def _distance(found: Floats, before: Floats) -> float:
    """How far landmarks (68, 2) moved on average, in sides of the box they were in ``before``."""
    return float(np.linalg.norm(found - before, axis=1).mean()) / _side(face_box(before))


def _roll(keypoints: Floats) -> float:
    """Degrees by which the eyes of keypoints (5, 2) lean, clockwise positive."""
    across = keypoints[1] - keypoints[0]
    return float(np.degrees(np.arctan2(across[1], across[0])))


def _load(folder: Path, settings: FacesSettings, device: str) -> FaceAnalysis:
    """insightface's analysis of the networks in ``folder``.

    Raises:
        WeightsError: no or damaged files, or a task is missing.
    """
    if not any(folder.glob("*.onnx")):
        raise WeightsError(f"no ONNX files in {folder}: give a folder with a detector, landmarks and an embedding")
    providers: list[Any] = ["CPUExecutionProvider"]
    kind, _, number = device.partition(":")
    wanted = _PROVIDERS.get(kind)
    if wanted in onnxruntime.get_available_providers():
        providers.insert(0, (wanted, {"device_id": int(number)} if number else {}))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            analysis = FaceAnalysis(name=str(folder), allowed_modules=list(_MODULES), providers=providers)
            analysis.prepare(
                ctx_id=int(number or 0) if len(providers) > 1 else -1,
                det_thresh=settings.min_score,
                det_size=(settings.detection_size, settings.detection_size),
            )
    except Exception as error:  # onnxruntime and insightface raise their own kinds for damaged files
        raise WeightsError(
            f"the model pack in {folder} cannot be loaded ({type(error).__name__}: {error}): verify it with "
            "'vidrestore models verify'"
        ) from error
    analysis.det_model.nms_thresh = _SUPPRESSION
    if not any(task in analysis.models for task in _LANDMARK_TASKS):
        raise WeightsError(f"the model pack in {folder} has no network for 68 landmarks; it has {[*analysis.models]}")
    return analysis


def _side(box: Floats) -> float:
    return float(np.sqrt(max(box[2] - box[0], 1.0) * max(box[3] - box[1], 1.0)))


def _spread(landmarks: Floats, box: Floats) -> float:
    offsets = landmarks - landmarks.mean(axis=0)
    return float(np.sqrt((offsets**2).sum(axis=1).mean())) / _side(box)


def face_box(landmarks: Floats) -> Floats:
    """The box (4,) that detectors draw around a face with these landmarks (68, 2): forehead to chin, ear to ear."""
    box = box_of(landmarks)
    box[1] -= _FOREHEAD * (box[3] - box[1])
    return box


def _repeats(box: Floats, found: Sequence[Detection]) -> bool:
    """Whether ``box`` is on a face that was found before."""
    return _overlaps(box, [other.box for other in found])


def _overlaps(box: Floats, others: Sequence[Floats]) -> bool:
    return bool(others) and float(overlap(box[None], np.stack(others)).max()) > _SAME_FACE_OVERLAP
