"""How soon a preview shows something: seconds from the start of the program to its first frame, and to its end.

    python benchmarks/preview.py CLIP [--start 0] [--runs 3] [--work FOLDER]

The clip is analyzed first, if it is not yet. Each run is a fresh program that restores one second. The processor's
seconds are printed beside those of the clock, as they are the same on a machine that has other work to do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VIDRESTORE = (sys.executable, "-m", "vidrestore")


def timed_preview(clip: Path, work: Path, start: float, folder: Path) -> tuple[float, float, float]:
    """Seconds to the first frame, seconds in all, and the processor's seconds, of one fresh run."""
    output = folder / "preview.mp4"
    command = [*VIDRESTORE, "preview", str(clip), "-o", str(output), "--start", str(start), "--duration", "1"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    done = subprocess.run([*command, "--work", str(work), "--json"], capture_output=True, text=True, check=True)
    total = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(done.stdout)
    if any("no analysis" in warning for warning in result["warnings"]):
        raise SystemExit(f"{work} holds no analysis of {clip} that fits the settings")
    # What came before the work began is Python's own start and its imports; what came after it is over in no time.
    first = total - result["seconds"] + result["first_frame_seconds"]
    return first, total, after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime


def main() -> None:
    """Analyze once, preview several times, print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = given.work or Path(name) / "work"
        analyze = [*VIDRESTORE, "analyze", str(given.clip), "--work", str(work), "--quiet"]
        subprocess.run(analyze, stdout=subprocess.DEVNULL, check=True)
        runs = [timed_preview(given.clip, work, given.start, Path(name)) for _ in range(given.runs)]
    first, total, processor = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"{given.clip.name}, {given.runs} runs on {os.cpu_count()} CPU cores, medians:")
    print(f"to the first frame {first:.2f} s, in all {total:.2f} s ({processor:.2f} s of the processor)")


if __name__ == "__main__":
    main()
