"""How much a restorer helps on portraits it never saw, beside what OpenCV can do.

    python benchmarks/restorer.py PORTRAITS [--recipe moderate] [--limit N] [--weights compact] [--sheet FILE.png]

Each sharp, real `val` portrait of PORTRAITS (a folder with annotations.json) is aligned to 512 x 512, degraded once by
the seeded recipe, and restored without and, where the person has other photographs, with references. PSNR is that of
the whole aligned picture, RGB, 8 bit; the mean over portraits is printed, and the share that got worse.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vidrestore.config import RestorationSettings
from vidrestore.devices import choose_device
from vidrestore.evaluation import psnr
from vidrestore.restorers import build_restorer
from vidrestore.training.degradations import Recipe, degrade, moderate, severe
from vidrestore.training.portraits import AlignedPortrait, align_portrait, list_portraits
from vidrestore.types import Face, FaceCrop, Image, Reference, Restorer

RECIPES: dict[str, Recipe] = {"moderate": moderate, "severe": severe}
SEED = 2026
SIZE = 512


def sharpened(image: Image) -> Image:
    """Unsharp mask, as picture editors do by default."""
    return np.asarray(cv2.addWeighted(image, 1.5, cv2.GaussianBlur(image, (0, 0), 3), -0.5, 0), dtype=np.uint8)


BASELINES: dict[str, Callable[[Image], Image]] = {
    "unsharp mask": sharpened,
    "non-local means": lambda image: np.asarray(cv2.fastNlMeansDenoisingColored(image, None, 5, 5, 7, 21)),
    "bilateral": lambda image: np.asarray(cv2.bilateralFilter(image, 9, 25, 5)),
    "median": lambda image: np.asarray(cv2.medianBlur(image, 5)),
    "gaussian": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5)),
}


def crop_of(image: Image, portrait: AlignedPortrait) -> FaceCrop:
    """The portrait's face as a restorer takes it."""
    landmarks = portrait.landmarks
    return FaceCrop(Face(0, None, landmarks, 1.0), image, np.eye(2, 3, dtype=np.float32), landmarks)


def references_of(portrait: AlignedPortrait, all_portraits: list[AlignedPortrait]) -> list[Reference]:
    """The other photographs of the same person."""
    return [
        Reference(other.image, other.landmarks, "photograph", 1.0, 1.0, "another photograph of the same person")
        for other in all_portraits
        if other.person == portrait.person and other is not portrait
    ]


def measure(
    folder: Path, restorer: Restorer, recipe: Recipe, limit: int | None, sheet: Path | None = None
) -> dict[str, object]:
    """Mean PSNR in dB of each method, and gains, over the portraits of ``folder``."""
    chosen = [p for p in list_portraits(folder, "val") if p.hq and not p.synthetic]
    portraits = [align_portrait(p, SIZE) for p in chosen]
    rng = np.random.default_rng(SEED)
    rows: dict[str, list[float]] = {name: [] for name in ("input", "generic", *BASELINES)}
    pairs: list[tuple[float, float]] = []
    pictures = []
    spaced = np.linspace(0, len(portraits) - 1, min(limit or len(portraits), len(portraits))).round().astype(int)
    for portrait in (portraits[i] for i in spaced):
        degraded = degrade(portrait.image, recipe(rng))
        crop = crop_of(degraded, portrait)
        (generic,) = restorer.restore([crop], [None])
        results = {"input": degraded, "generic": generic} | {name: f(degraded) for name, f in BASELINES.items()}
        for name, image in results.items():
            rows[name].append(psnr(image, portrait.image))
        references = references_of(portrait, portraits)
        if references:
            (specific,) = restorer.restore([crop], [restorer.encode_references(references)])
            pairs.append((rows["generic"][-1], psnr(specific, portrait.image)))
            generic = specific
        pictures.append(np.hstack((degraded, generic, portrait.image)))
    if sheet is not None:
        best = np.vstack(pictures[:: max(1, len(pictures) // 8)][:8])
        cv2.imwrite(str(sheet), best[:, :, ::-1])
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    gains = np.array(rows["generic"]) - np.array(rows["input"])
    own = np.array(pairs).reshape(-1, 2)
    return {
        "portraits": len(gains),
        "psnr_db": {name: round(value, 3) for name, value in means.items()},
        "gain_db": round(float(gains.mean()), 3),
        "gain_over_best_baseline_db": round(means["generic"] - max(means[name] for name in BASELINES), 3),
        "worse_share": round(float((gains < 0).mean()), 3),
        "with_references": {
            "portraits": len(own),
            "gain_over_without_db": round(float((own[:, 1] - own[:, 0]).mean()), 4) if len(own) else None,
        },
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--recipe", choices=RECIPES, default="moderate")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--weights", default="compact")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    restorer = build_restorer(RestorationSettings(weights=arguments.weights), choose_device(arguments.device))
    figures = measure(arguments.portraits, restorer, RECIPES[arguments.recipe], arguments.limit, arguments.sheet)
    print(json.dumps({"recipe": arguments.recipe, "seed": SEED, "weights": restorer.name, **figures}, indent=1))


if __name__ == "__main__":
    main()
