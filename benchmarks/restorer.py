"""How much a restorer helps on portraits it never saw, without and with references, beside what OpenCV can do.

    python benchmarks/restorer.py PORTRAITS [--recipe moderate] [--limit N] [--weights compact] [--sheet FILE.jpg]

Each sharp, real `val` portrait of PORTRAITS (a folder with annotations.json) is aligned to 512 x 512, degraded once by
the seeded recipe, and restored without and, where the person has other `val` photographs, with references. Printed as
JSON, means over portraits by the definitions of `docs/metrics.md` on the whole aligned picture: PSNR, SSIM, sharpness
and identity similarity (by `--faces`, compact) of the input and of what was restored; PSNR of the OpenCV filters; the
share of portraits that got worse, and of those whose identity similarity fell by more than 0, 0.005 and 0.02. For the
people with references: PSNR inside eyes and mouth, and identity, without and with them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidrestore.config import FacesSettings, RestorationSettings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.metrics import detail_ratio, identity_similarity, psnr, sharpness_ratio, ssim
from vidrestore.restorers import build_restorer
from vidrestore.restorers.components import component_boxes
from vidrestore.training.degradations import Degradation, Recipe, degrade, moderate, severe
from vidrestore.training.portraits import AlignedPortrait, align_portrait, list_portraits
from vidrestore.training.sheets import save_sheet
from vidrestore.types import Detector, Face, FaceCrop, Image, Reference, Restorer

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


@dataclass(frozen=True, eq=False)
class Row:
    """One portrait: figures of the pictures made of it, by name."""

    figures: dict[str, dict[str, float]]
    pictures: dict[str, Image]


def component_psnr(picture: Image, portrait: AlignedPortrait) -> float:
    """PSNR in dB over the pixels of both eyes and the mouth."""
    inside = np.zeros(picture.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in np.clip(np.rint(component_boxes(portrait.landmarks)[[0, 1, 3]]), 0, SIZE).astype(int):
        inside[y0:y1, x0:x1] = True
    return psnr(picture[inside], portrait.image[inside])


def figures_of(picture: Image, portrait: AlignedPortrait, judge: Detector) -> dict[str, float]:
    """All figures of one restored picture (512, 512, 3)."""
    truth, own = (judge.embed(image, portrait.landmarks) for image in (portrait.image, picture))
    return {
        "psnr": psnr(picture, portrait.image),
        "ssim": ssim(picture, portrait.image),
        "sharpness_ratio": sharpness_ratio(picture, portrait.image),
        "detail_ratio": detail_ratio(picture, portrait.image),
        "component_psnr": component_psnr(picture, portrait),
        "identity": math.nan if truth is None or own is None else identity_similarity(own, truth),
    }


def row_of(
    portrait: AlignedPortrait, others: list[AlignedPortrait], restorer: Restorer, recipe: Degradation, judge: Detector
) -> Row:
    """Degrade one portrait and restore it in every way."""
    degraded = degrade(portrait.image, recipe)
    crop = crop_of(degraded, portrait)
    (generic,) = restorer.restore([crop], [None])
    pictures = {"input": degraded, "restored": generic}
    references = references_of(portrait, others)
    if references:
        (pictures["with references"],) = restorer.restore([crop], [restorer.encode_references(references)])
    figures = {name: figures_of(picture, portrait, judge) for name, picture in pictures.items()}
    filtered = {name: {"psnr": psnr(run(degraded), portrait.image)} for name, run in BASELINES.items()}
    return Row(figures | filtered, pictures | {"truth": portrait.image})


def measure(
    folder: Path, restorer: Restorer, recipe: Recipe, limit: int | None, judge: Detector, sheet: Path | None = None
) -> dict[str, object]:
    """Mean figures over the portraits of ``folder``; a sheet of the best, middling and worst goes to ``sheet``."""
    listed = [(p.hq, align_portrait(p, SIZE)) for p in list_portraits(folder, "val") if not p.synthetic]
    everyone, sharp = [portrait for _, portrait in listed], [portrait for hq, portrait in listed if hq]
    rng = np.random.default_rng(SEED)
    spaced = np.linspace(0, len(sharp) - 1, min(limit or len(sharp), len(sharp))).round().astype(int)
    rows = [row_of(portrait, everyone, restorer, recipe(rng), judge) for portrait in (sharp[i] for i in spaced)]
    if sheet is not None:
        write_sheet(rows, sheet)
    own = [row for row in rows if "with references" in row.figures]
    gains = column(rows, "restored", "psnr") - column(rows, "input", "psnr")
    falls = column(rows, "input", "identity") - column(rows, "restored", "identity")
    filters = {name: round(float(column(rows, name, "psnr").mean()), 3) for name in BASELINES}
    restored = means(rows, "restored")
    return {
        "portraits": len(rows),
        "input": means(rows, "input"),
        "restored": restored,
        "filters_psnr": filters,
        "gain_db": round(float(gains.mean()), 3),
        "gain_over_best_baseline_db": round(restored["psnr"] - max(filters.values()), 3),
        "worse_share": round(float((gains < 0).mean()), 3),
        "identity_fell_share": {str(margin): round(float((falls > margin).mean()), 3) for margin in (0, 0.005, 0.02)},
        "with_references": {
            "portraits": len(own),
            "without": means(own, "restored"),
            "with": means(own, "with references"),
            "component_gain_db": round(lift(own, "component_psnr"), 3),
            "gain_over_without_db": round(lift(own, "psnr"), 3),
            "identity_gain": round(lift(own, "identity"), 4),
        },
    }


def column(rows: list[Row], picture: str, figure: str) -> np.ndarray:
    """One figure of one way, over the portraits (N,)."""
    return np.array([row.figures[picture][figure] for row in rows])


def means(rows: list[Row], picture: str) -> dict[str, float]:
    """Mean of each figure of one way; empty without rows."""
    names = rows[0].figures[picture] if rows else {}
    return {name: round(float(column(rows, picture, name).mean()), 4) for name in names}


def lift(rows: list[Row], figure: str) -> float:
    """What references add to a figure, in the mean; NaN without rows."""
    differences = [row.figures["with references"][figure] - row.figures["restored"][figure] for row in rows]
    return float(np.mean(differences)) if differences else math.nan


def write_sheet(rows: list[Row], path: Path) -> None:
    """Input, restored and truth, from the largest gain to the largest loss."""
    ranked = sorted(rows, key=lambda row: row.figures["input"]["psnr"] - row.figures["restored"]["psnr"])
    cells = []
    for row in (ranked[i] for i in np.linspace(0, len(ranked) - 1, min(8, len(ranked))).round().astype(int)):
        for name in ("input", "restored"):
            cells.append((row.pictures[name], f"{name}, {row.figures[name]['psnr']:.2f} dB"))
        cells.append((row.pictures["truth"], "truth"))
    save_sheet(cells, 3, path)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--recipe", choices=RECIPES, default="moderate")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--weights", default="compact")
    parser.add_argument("--faces", default="compact")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    restorer = build_restorer(RestorationSettings(weights=arguments.weights), device)
    judge = build_detector(FacesSettings(pack=arguments.faces), device)
    recipe = RECIPES[arguments.recipe]
    figures = measure(arguments.portraits, restorer, recipe, arguments.limit, judge, arguments.sheet)
    print(json.dumps({"recipe": arguments.recipe, "seed": SEED, "weights": restorer.name, **figures}, indent=1))


if __name__ == "__main__":
    main()
