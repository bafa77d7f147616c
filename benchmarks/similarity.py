"""How alike a pack finds one person and two people, where the threshold between them comes from.

    python benchmarks/similarity.py SHARED [--faces compact]

From every portrait of the split `val` under SHARED/portraits, pictures are made as a track would hold them: the recipe
`footage` of `vidrestore.training.degradations` (archive film, tape, hard compression), other noise in every picture,
and landmarks that miss by 3 % of the eye distance. Their agreed embedding (`vidrestore.appearance`) is the track's.
Compared are tracks made of two photographs. Printed as JSON, by the eye distance of the smaller face in the footage:

* `same`: cosines of two photographs of one person, 1st, 5th and 50th percentile. Most pairs were taken years apart, so
  people of one video are more alike;
* `different`: cosines of different people, 50th, 99th, 99.9th percentile and the largest;
* `merged`: share of pairs of different people above each threshold, and `missed`: share of the same people below it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidrestore.appearance import agreed_embedding
from vidrestore.config import FacesSettings
from vidrestore.detectors import build_detector
from vidrestore.geometry import eye_distance
from vidrestore.training.degradations import degrade, footage
from vidrestore.training.portraits import LoadedPortrait, list_portraits, load_portraits
from vidrestore.types import Detector, Floats

SEED = 2026
LOOKS = 5
LANDMARK_NOISE = 0.03
"""Of the eye distance."""
SIZES = ((5, 10), (10, 16), (16, 28), (28, 200))
"""Eye distances in pixels of the degraded picture."""
THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)


def track_of(detector: Detector, portrait: LoadedPortrait, rng: np.random.Generator) -> tuple[Floats, float]:
    """The embedding of a degraded track, and its eye distance in pixels of the footage."""
    height, width = (side // 2 * 2 for side in portrait.image.shape[:2])
    image = np.ascontiguousarray(portrait.image[:height, :width])
    eyes = eye_distance(portrait.landmarks)
    recipe = footage(rng)
    looks = []
    for _ in range(LOOKS):
        degraded = degrade(image, replace(recipe, seed=int(rng.integers(2**31))))
        moved = portrait.landmarks + LANDMARK_NOISE * eyes * rng.standard_normal(portrait.landmarks.shape)
        embedding = detector.embed(degraded, moved.astype(np.float32))
        if embedding is None:
            raise SystemExit(f"the pack {detector.name} has no embedding network")
        looks.append(embedding)
    return agreed_embedding(looks, [1.0] * LOOKS), eyes / recipe.downscale


def summary(same: np.ndarray, different: np.ndarray) -> dict[str, object]:
    """Percentiles of both kinds of pairs, and what each threshold would do."""
    return {
        "same_pairs": len(same),
        "same": {f"p{q}": round(float(np.percentile(same, q)), 3) for q in (1, 5, 50)} if len(same) else {},
        "different_pairs": len(different),
        "different": {f"p{q}": round(float(np.percentile(different, q)), 3) for q in (50, 99, 99.9, 100)},
        "merged": {str(t): round(float((different >= t).mean()), 5) for t in THRESHOLDS},
        "missed": {str(t): round(float((same < t).mean()), 3) for t in THRESHOLDS} if len(same) else {},
    }


def main() -> None:
    """Print the distributions as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--faces", default="compact")
    arguments = parser.parse_args()
    detector = build_detector(FacesSettings(pack=arguments.faces), "cpu")
    rng = np.random.default_rng(SEED)
    portraits = load_portraits(list_portraits(arguments.shared / "portraits", "val"), face_width=240)
    tracks = [track_of(detector, portrait, rng) for portrait in portraits]
    embeddings, eyes = np.stack([track[0] for track in tracks]), np.array([track[1] for track in tracks])
    people = np.array([portrait.person for portrait in portraits])
    rows, columns = np.triu_indices(len(people), 1)
    cosines, smaller = (embeddings @ embeddings.T)[rows, columns], np.minimum(eyes[rows], eyes[columns])
    is_same = people[rows] == people[columns]
    figures = {"pack": detector.name, "all": summary(cosines[is_same], cosines[~is_same])}
    for low, high in SIZES:
        here = (smaller >= low) & (smaller < high)
        figures[f"eyes {low}-{high} px"] = summary(cosines[here & is_same], cosines[here & ~is_same])
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
