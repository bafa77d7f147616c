"""The figures of the README, as one Markdown table.

    python benchmarks/figures.py [SHARED]

Anyone can run it: without SHARED it restores the bundled sample and measures it against its clean original. With
SHARED, a folder with `portraits`, `groups`, `backgrounds` and `clips`, it measures the networks on `val` pictures and
the whole program on an interview, too, and the benchmarks beside this file tell more of each. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from restorer import RECIPES, measure

from vidrestore.api import restore_video
from vidrestore.config import EncodingSettings, FacesSettings, RestorationSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.evaluation import compare_videos
from vidrestore.places import shipped_folder
from vidrestore.restorers import build_restorer

LOSSLESS = Settings(encoding=EncodingSettings(codec="ffv1"))


def portraits(folder: Path) -> list[tuple[str, str]]:
    """The restorer alone, on portraits that it never saw."""
    device = choose_device("auto")
    restorer, judge = build_restorer(RestorationSettings(), device), build_detector(FacesSettings(), device)
    rows = []
    for name, recipe in RECIPES.items():
        found: dict[str, Any] = measure(folder, restorer, recipe, None, judge)
        before, after, own = found["input"], found["restored"], found["with_references"]
        rows += [
            (
                f"{found['portraits']} portraits, {name} recipe: PSNR",
                f"{before['psnr']:.2f} dB, restored {after['psnr']:.2f} dB; best of five OpenCV filters "
                f"{max(found['filters_psnr'].values()):.2f} dB; {found['worse_share']:.1%} got worse",
            ),
            (
                f"the same: SSIM, sharpness over the truth's, identity ({judge.name})",
                f"{before['ssim']:.3f}, {before['sharpness_ratio']:.2f}, {before['identity']:.3f}; restored "
                f"{after['ssim']:.3f}, {after['sharpness_ratio']:.2f}, {after['identity']:.3f}; "
                f"identity fell clearly in {found['identity_fell_share']['0.02']:.1%}",
            ),
            (
                f"what another photograph of the person adds ({own['portraits']} portraits)",
                f"{own['component_gain_db']:+.2f} dB in eyes and mouth, {own['identity_gain']:+.4f} identity",
            ),
        ]
    return rows


def video(name: str, truth: Path, source: Path, work: Path) -> list[tuple[str, str]]:
    """The whole program: restored without encoding loss, measured against the truth."""
    output = work / f"{source.stem}.mkv"
    print(f"restoring {source.name} ...", file=sys.stderr)
    done = restore_video(source, output, settings=LOSSLESS, work=work / f"{source.stem}-input")
    print(f"measuring {source.name} ...", file=sys.stderr)
    found = compare_videos(truth, source, [output], work=work / f"{source.stem}-truth").summary
    before, (after,) = found["input"], found["outputs"]
    return [
        (f"{name}: people, faces restored", f"{done.people}, {done.faces_restored} of {done.faces}"),
        (
            f"{name}: PSNR in faces",
            f"{before['psnr']:.2f} dB, restored {after['psnr']:.2f} dB; "
            f"{after['improved']:.0%} of {after['faces']} faces nearer to the truth",
        ),
        (
            f"{name}: SSIM, sharpness over the truth's, identity ({found['judge']})",
            f"{before['ssim']:.3f}, {before['sharpness_ratio']:.2f}, {before['identity']:.3f}; restored "
            f"{after['ssim']:.3f}, {after['sharpness_ratio']:.2f}, {after['identity']:.3f}; identity fell clearly in "
            f"{after['harm_clear']:.1%}",
        ),
        (
            f"{name}: flicker (warping error over the truth's)",
            f"{before['warping_error_ratio']:.2f}, restored {after['warping_error_ratio']:.2f}",
        ),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, nargs="?")
    shared = parser.parse_args().shared
    samples = shipped_folder("samples")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        rows = video("bundled sample", samples / "astronaut_clean.mp4", samples / "astronaut_old.mp4", work)
        if shared is not None:
            clips = shared / "clips"
            truth, source = clips / "interview_edit_720p.mp4", clips / "interview_edit_270p_degraded.mp4"
            rows += video("15 s interview, 480 x 270, CRF 33", truth, source, work)
            rows += portraits(shared / "portraits")
    print("| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows), sep="\n")


if __name__ == "__main__":
    main()
