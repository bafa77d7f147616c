"""How well a model pack finds faces, landmarks and people in pictures it never saw.

    python benchmarks/faces.py SHARED [--faces compact]

SHARED holds `portraits` and `groups` with annotations.json (split `val` is used) and `backgrounds`. Printed as JSON:

* detector on groups: recall of labelled faces by width (a face counts as found where a detection overlaps its box by
  0.4 or more) and precision (a detection on a labelled face or an `ignore` region is not counted as wrong);
* false faces on 100 backgrounds, which the detector was trained on as negatives;
* landmarks on portraits (those that are found; the others are counted): mean distance of the 68 points from the
  annotation, as a share of the distance between the eye centres, clean and under the moderate recipe of
  `vidrestore.training.degradations`;
* embedding on portraits: area under the curve of same against different people, clean and under the same recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidrestore.config import FacesSettings
from vidrestore.detectors import build_detector
from vidrestore.geometry import eye_distance, overlap
from vidrestore.tracking import TrackingSettings
from vidrestore.training.composites import load_backgrounds, load_groups
from vidrestore.training.degradations import degrade, moderate
from vidrestore.training.embedding import area_under_curve
from vidrestore.training.portraits import list_portraits, load_portraits
from vidrestore.types import Detection, Detector, Floats

SEED = 2026
TRACKING = TrackingSettings()
WIDTHS = ((12, 20), (20, 40), (40, 80), (80, 10_000))


def sure(faces: Sequence[Detection]) -> list[Detection]:
    """Those of ``faces`` that a track of only such faces would be kept for."""
    heights = [float(face.box[3] - face.box[1]) for face in faces]
    least = [max(TRACKING.high_score, TRACKING.least_score(height)) for height in heights]
    return [face for face, score in zip(faces, least, strict=True) if face.score >= score]


def groups(detector: Detector, folder: Path) -> dict[str, object]:
    """Recall by face width, and precision."""
    found: dict[str, list[bool]] = {f"{low}-{high} px": [] for low, high in WIDTHS}
    right = wrong = 0
    for scene in load_groups(folder, "val"):
        faces = sure(detector.detect(scene.image))
        boxes = np.array([face.box for face in faces], dtype=np.float32).reshape(-1, 4)
        shared = (
            overlap(boxes, scene.boxes) if len(boxes) and len(scene.boxes) else np.zeros((len(boxes), len(scene.boxes)))
        )
        for index, box in enumerate(scene.boxes):
            for low, high in WIDTHS:
                if low <= box[2] - box[0] < high:
                    found[f"{low}-{high} px"].append(bool(len(boxes)) and shared[:, index].max() >= 0.4)
        for index, box in enumerate(boxes):
            centre = (box[:2] + box[2:]) / 2
            ignored = ((centre >= scene.ignored[:, :2]) & (centre <= scene.ignored[:, 2:])).all(axis=1).any()
            if len(scene.boxes) and shared[index].max() >= 0.3:
                right += 1
            elif not ignored:
                wrong += 1
    recall = {
        name: {"faces": len(hits), "recall": round(float(np.mean(hits)), 3)} for name, hits in found.items() if hits
    }
    return {"recall": recall, "precision": round(right / max(right + wrong, 1), 3), "wrong": wrong}


def nearest(faces: Sequence[Detection], box: Floats) -> Detection | None:
    """The face that overlaps ``box`` most, if any does by 0.4."""
    if not faces:
        return None
    shared = overlap(box[None], np.stack([face.box for face in faces]))[0]
    return faces[int(shared.argmax())] if shared.max() >= 0.4 else None


def portraits(detector: Detector, folder: Path) -> dict[str, object]:
    """Landmark error and area under the curve, clean and degraded."""
    figures: dict[str, object] = {}
    for name in ("clean", "moderate"):
        rng = np.random.default_rng(SEED)
        errors, embeddings, people, missed = [], [], [], 0
        for portrait in load_portraits(list_portraits(folder, "val"), face_width=300):
            image = portrait.image[: portrait.image.shape[0] // 2 * 2, : portrait.image.shape[1] // 2 * 2]
            if name == "moderate":
                image = degrade(np.ascontiguousarray(image), moderate(rng))
            face = nearest(detector.detect(image), portrait.box)
            if face is None or face.landmarks is None or face.embedding is None:
                missed += 1
                continue
            distance = np.linalg.norm(face.landmarks - portrait.landmarks, axis=1).mean()
            errors.append(distance / eye_distance(portrait.landmarks))
            embeddings.append(face.embedding)
            people.append(portrait.person)
        similar = np.array(embeddings) @ np.array(embeddings).T
        upper = np.triu_indices(len(people), 1)
        same = (np.array(people)[:, None] == np.array(people)[None])[upper]
        figures[name] = {
            "portraits": len(errors),
            "missed": missed,
            "landmark_error": round(float(np.mean(errors)), 4),
            "same_pairs": int(same.sum()),
            "embedding_auc": round(area_under_curve(similar[upper][same], similar[upper][~same]), 4),
            "same_median": round(float(np.median(similar[upper][same])), 3),
            "different_99th_percentile": round(float(np.percentile(similar[upper][~same], 99)), 3),
        }
    return figures


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--faces", default="compact")
    arguments = parser.parse_args()
    detector = build_detector(FacesSettings(pack=arguments.faces), "cpu")
    scenery = load_backgrounds(arguments.shared / "backgrounds", longest=800)[::5][:100]
    false = sum(bool(sure(detector.detect(image))) for image in scenery)
    figures = {
        "pack": detector.name,
        "groups": groups(detector, arguments.shared / "groups"),
        "backgrounds_with_false_faces": f"{false} of {len(scenery)}",
        "portraits": portraits(detector, arguments.shared / "portraits"),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
