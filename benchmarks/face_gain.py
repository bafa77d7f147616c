"""How much nearer to the original the faces of a degraded video come.

    python benchmarks/face_gain.py TRUTH INPUT [--output OUTPUT] [RESTORE FLAGS ...]

Restores INPUT (further flags go to `vidrestore restore`), and prints, by person, the mean PSNR of the face regions
against TRUTH before and after, by the definitions of `vidrestore/evaluation.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from vidrestore import store
from vidrestore.cli import run
from vidrestore.evaluation import face_gain


def main() -> None:
    """Restore, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("input", type=Path)
    parser.add_argument("--output", type=Path)
    arguments, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output, work = arguments.output or folder / "restored.mkv", folder / "work"
        code = run(["restore", str(arguments.input), "-o", str(output), "--work", str(work), "--quiet", *flags])
        if code:
            sys.exit(code)
        figures = face_gain(arguments.truth, arguments.input, output, store.load(work))
    print(f"{'person':12} {'faces':>6} {'before dB':>10} {'after dB':>10} {'gain dB':>8} {'improved':>9}")
    for person, figure in figures.items():
        print(
            f"{person:12} {figure.faces:6} {figure.psnr_before:10.2f} {figure.psnr_after:10.2f} "
            f"{figure.gain:8.2f} {figure.improved:9.0%}"
        )


if __name__ == "__main__":
    main()
