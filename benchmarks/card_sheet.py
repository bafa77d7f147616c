"""The sheet of the restorer's model card: where it helps most, and where least.

    python benchmarks/card_sheet.py [-o models/restorer/compact/sheet.jpg]

The photograph that scikit-image ships (NASA, public domain; never trained on) is degraded by the seeded recipes, eight
times each, and restored without references. Of each recipe the largest and the smallest gain in PSNR are shown, as
truth, input and restored picture. The landmarks are found by the compact pack.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage import data

from vidrestore.alignment import alignment_matrix, cut_aligned
from vidrestore.config import FacesSettings, RestorationSettings
from vidrestore.detectors import build_detector
from vidrestore.geometry import transform
from vidrestore.metrics import psnr
from vidrestore.restorers import build_restorer
from vidrestore.training.degradations import Degradation, degrade, fade, footage, moderate, severe
from vidrestore.training.sheets import Cell, save_sheet
from vidrestore.types import Face, FaceCrop, Image

DRAWS = 8


def restored_cells(truth: Image, crop: FaceCrop, recipe: str, degradation: Degradation) -> tuple[float, list[Cell]]:
    """The gain of one draw in dB, and its three pictures."""
    restorer = build_restorer(RestorationSettings(), "cpu")
    # Fading is no damage that the restorer is to undo: the truth has it, too.
    wanted = fade(truth, Degradation(grey=degradation.grey, contrast=degradation.contrast, tint=degradation.tint))
    degraded = degrade(truth, degradation)
    given = FaceCrop(crop.face, degraded, crop.matrix, crop.landmarks)
    (restored,) = restorer.restore([given], [None])
    before, after = psnr(degraded, wanted), psnr(restored, wanted)
    return after - before, [
        (wanted, f"truth ({recipe})"),
        (degraded, f"input, {before:.2f} dB"),
        (restored, f"restored, {after:.2f} dB"),
    ]


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("models/restorer/compact/sheet.jpg"))
    output = parser.parse_args().output
    photograph = np.asarray(data.astronaut(), dtype=np.uint8)
    landmarks = build_detector(FacesSettings(), "cpu").detect(photograph)[0].landmarks
    assert landmarks is not None
    matrix = alignment_matrix(landmarks)
    truth = cut_aligned(photograph, matrix)
    crop = FaceCrop(Face(0, None, landmarks, 1.0), truth, matrix, transform(matrix, landmarks))
    cells: list[Cell] = []
    for recipe in (moderate, severe, footage):
        rng = np.random.default_rng(2026)
        draws = [restored_cells(truth, crop, recipe.__name__, recipe(rng)) for _ in range(DRAWS)]
        ranked = sorted(draws, key=lambda draw: -draw[0])
        cells += [*ranked[0][1], *ranked[-1][1]]
    save_sheet(cells, 6, output)


if __name__ == "__main__":
    main()
