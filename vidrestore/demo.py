"""Restore the bundled sample and show what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidrestore.api import analyze_video, restore_video
from vidrestore.errors import VideoError
from vidrestore.evaluation import measure_videos, summarise
from vidrestore.geometry import box_of
from vidrestore.places import shipped_folder
from vidrestore.types import Analysis, Floats, Image, Notice, Progress
from vidrestore.video import fingerprint, read_frames

_FACE_HEIGHT = 480
"""Pixels of the enlarged faces in the picture."""


def run_demo(folder: Path, on_progress: Callable[[Progress | Notice], None]) -> dict[str, Any]:
    """Restore the sample into ``folder`` and measure it; what the command prints.

    Raises:
        VideoError: the folder cannot be written.
    """
    samples = shipped_folder("samples")
    source, truth = samples / "astronaut_old.mp4", samples / "astronaut_clean.mp4"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VideoError(f"the folder {folder} cannot be made ({error}); choose another with -o") from error
    output, picture = folder / "restored.mp4", folder / "before_after.png"
    # Another sample gets another folder, so an older one's analysis is in nobody's way.
    work = folder / f"analysis-{fingerprint(source)[:8]}"
    result = restore_video(source, output, work=work, on_progress=on_progress)
    analysis = analyze_video(source, work=work)
    # Both clips show the same frames, so that the analysis at hand says where the truth's faces are, too.
    (gain,) = summarise(measure_videos(truth, source, [output], analysis, judge=None))["outputs"]
    write_comparison(picture, source, output, analysis)
    return {
        "restored": str(output),
        "picture": str(picture),
        "people": result.people,
        "faces_restored": result.faces_restored,
        "psnr_before_db": round(gain["psnr"] - gain["psnr_gain"], 2),
        "psnr_after_db": round(gain["psnr"], 2),
        "psnr_gain_db": round(gain["psnr_gain"], 2),
        "device": result.device,
        "weights": result.weights,
        "faces_model": result.faces_model,
        "seconds": result.seconds,
        "warnings": result.warnings,
    }


def write_comparison(path: Path, source: Path, output: Path, analysis: Analysis) -> None:
    """A PNG with the middle of each shot: the whole frame and its largest face enlarged, before on the left.

    Raises:
        VideoError: the picture cannot be written.
    """
    wanted = {}
    for shot in analysis.shots:
        inside = [t for t in analysis.tracks if shot.first <= t.pts[0] <= shot.last]
        if inside:
            largest = max(inside, key=lambda t: float(np.median(t.boxes[:, 2] - t.boxes[:, 0])))
            middle = len(largest.pts) // 2
            wanted[int(largest.pts[middle])] = largest.landmarks[middle]
    rows = [
        np.hstack((_enlarged(before.image, wanted[before.pts]), _enlarged(after.image, wanted[before.pts])))
        for before, after in zip(read_frames(source), read_frames(output), strict=True)
        if before.pts in wanted
    ]
    if rows and not cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1]):
        raise VideoError(f"the picture {path} cannot be written")


def _enlarged(image: Image, landmarks: Floats) -> Image:
    """The face and what is around it, ``_FACE_HEIGHT`` pixels high."""
    box = box_of(landmarks)
    centre, half = (box[:2] + box[2:]) / 2, 0.9 * float(box[3] - box[1])
    scale = _FACE_HEIGHT / (2 * half)
    matrix = np.array([[scale, 0, -scale * (centre[0] - half)], [0, scale, -scale * (centre[1] - 1.2 * half)]])
    enlarged = cv2.warpAffine(image, matrix, (_FACE_HEIGHT, _FACE_HEIGHT), flags=cv2.INTER_CUBIC)
    return np.asarray(enlarged, dtype=np.uint8)
