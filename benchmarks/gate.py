"""What the gate against harm costs and what it prevents, on portraits the networks never saw.

    python benchmarks/gate.py PORTRAITS [--recipe severe] [--limit N] [--weights compact] [--sheet FILE.png]

Each sharp, real `val` portrait of PORTRAITS (a folder with annotations.json) is aligned to 512 x 512, degraded once by
the seeded recipe, restored, and restored as strongly as the gate allows. The person's other `val` photographs, where
there are any, tell the gate who it is; those portraits are counted apart, too. Printed as JSON, with and without gate:

* harm: share of faces whose identity similarity to the truth fell, at all, by more than 0.005, and by more than the
  fall that `vidrestore eval` calls clear;
* identity: mean similarity to the truth; gain_db: mean PSNR over the whole crop less that of the input;

and the mean factor, the faces held back by reason, and the median seconds that restoring and judging a face take.
The sheet shows the faces with the lowest factors: input, restored, gated, truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from restorer import RECIPES, SEED, SIZE, crop_of, references_of

from vidrestore.config import FacesSettings, GateSettings, RestorationSettings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.gating import Gate, Verdict
from vidrestore.metrics import CLEAR_FALL, harm, identity_similarity, psnr
from vidrestore.restorers import build_restorer
from vidrestore.training.degradations import Recipe, degrade
from vidrestore.training.portraits import align_portrait, list_portraits
from vidrestore.types import Detector, Identity, Image, Restorer

FALLS = (0.0, 0.005, CLEAR_FALL)


@dataclass(frozen=True, eq=False)
class Row:
    """One portrait."""

    pictures: tuple[Image, Image, Image, Image]
    """Input, restored, gated, truth."""
    identity: tuple[float, float, float]
    """Similarity to the truth of input, restored, gated."""
    psnr: tuple[float, float, float]
    known: bool
    """Whether there is another photograph of the person."""
    verdict: Verdict
    seconds: tuple[float, float]
    """Restoring and judging."""


def rows_of(folder: Path, detector: Detector, restorer: Restorer, recipe: Recipe, limit: int | None) -> list[Row]:
    """Every portrait degraded, restored, and judged by the gate at its default settings."""
    real = [(p.hq, align_portrait(p, SIZE)) for p in list_portraits(folder, "val") if not p.synthetic]
    portraits, chosen = [portrait for _, portrait in real], [portrait for hq, portrait in real if hq]
    rng = np.random.default_rng(SEED)
    rows = []
    spaced = np.linspace(0, len(chosen) - 1, min(limit or len(chosen), len(chosen))).round().astype(int)
    for portrait in (chosen[i] for i in spaced):
        degraded = degrade(portrait.image, recipe(rng))
        references = tuple(references_of(portrait, portraits))
        crop = crop_of(degraded, portrait)
        crop = replace(crop, face=replace(crop.face, identity_id=0))
        gate = Gate(detector, [Identity(0, portrait.person, (0,), None, references)], GateSettings())
        begun = time.perf_counter()
        (restored,) = restorer.restore([crop], [None])
        between = time.perf_counter()
        verdict = gate.judge(crop, restored)
        ended = time.perf_counter()
        gated = degraded + verdict.factor * (restored.astype(np.float32) - degraded)
        shown = degraded, restored, np.rint(gated).astype(np.uint8), portrait.image
        truth = detector.embed(portrait.image, portrait.landmarks)
        found = [detector.embed(picture, portrait.landmarks) for picture in shown[:3]]
        identity = [identity_similarity(embedding, truth) for embedding in found]
        gains = [psnr(picture, portrait.image) for picture in shown[:3]]
        rows.append(
            Row(shown, tuple(identity), tuple(gains), bool(references), verdict, (between - begun, ended - between))
        )
    return rows


def figures_of(rows: Sequence[Row]) -> dict[str, object]:
    """The means, without and with the gate."""
    identity, quality = np.array([row.identity for row in rows]), np.array([row.psnr for row in rows])
    factors = [row.verdict.factor for row in rows]
    figures: dict[str, object] = {"portraits": len(rows), "identity_of_input": round(float(identity[:, 0].mean()), 4)}
    for column, name in ((1, "without_gate"), (2, "with_gate")):
        figures[name] = {
            "harm": {f"{fall:g}": round(harm(identity[:, 0], identity[:, column], fall), 3) for fall in FALLS},
            "identity": round(float(identity[:, column].mean()), 4),
            "gain_db": round(float((quality[:, column] - quality[:, 0]).mean()), 3),
        }
    reasons = Counter(row.verdict.reason for row in rows if row.verdict.reason is not None)
    return figures | {"mean_factor": round(float(np.mean(factors)), 3), "held_back": dict(reasons)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--recipe", choices=RECIPES, default="severe")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--weights", default="compact")
    parser.add_argument("--faces", default="compact")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    restorer = build_restorer(RestorationSettings(weights=arguments.weights), device)
    detector = build_detector(FacesSettings(pack=arguments.faces), device)
    rows = rows_of(arguments.portraits, detector, restorer, RECIPES[arguments.recipe], arguments.limit)
    known = [row for row in rows if row.known]
    seconds = np.median([row.seconds for row in rows], axis=0)
    if arguments.sheet is not None:
        lowest = sorted(rows, key=lambda row: row.verdict.factor)[:8]
        cv2.imwrite(str(arguments.sheet), np.vstack([np.hstack(row.pictures) for row in lowest])[:, :, ::-1])
    figures = {
        "recipe": arguments.recipe,
        "seed": SEED,
        "weights": restorer.name,
        "all": figures_of(rows),
        "with_another_photograph": figures_of(known) if known else None,
        "seconds_restoring": round(float(seconds[0]), 4),
        "seconds_judging": round(float(seconds[1]), 4),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
