"""Memory of restoring a long film, watched while it runs: it must be small, and not grow with the length.

    python benchmarks/long_film.py [--minutes 60] [--size 1920x1080] [--settled 5] [RESTORE FLAGS ...]

The film is made first: a flat picture that moves, a cut every 13 seconds, and sound. What is printed for each stage is
the resident memory of the whole process, weights included, at its peak, in the minute of the film after ``--settled``
minutes, and in the last one. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, VideoFrame

RATE, AUDIO_RATE = 25, 48000
CUT_SECONDS = 13


def make_film(path: Path, minutes: float, size: tuple[int, int]) -> int:
    """Write the film; the number of its frames."""
    count = round(minutes * 60 * RATE)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "28"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        for index in range(count):
            frame = picture(index, size)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if index % RATE == 0:
                hum = np.sin(np.arange(AUDIO_RATE) * (2 * np.pi * 220 / AUDIO_RATE)).astype(np.float32) / 8
                second = AudioFrame.from_ndarray(hum[None], format="fltp", layout="mono")
                second.sample_rate, second.pts = AUDIO_RATE, index // RATE * AUDIO_RATE
                container.mux(sound.encode(second))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return count


def picture(index: int, size: tuple[int, int]) -> VideoFrame:
    """Stripes that move slowly, and look different in each scene."""
    width, height = size
    scene = index // (CUT_SECONDS * RATE)
    columns = np.arange(width) + 2 * index
    row = (110 + 60 * np.sin(columns / (20 + 7 * (scene % 5)))).astype(np.uint8)
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = row
    planes[height : height * 5 // 4] = 90 + 20 * (scene % 4)
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def watch(film: Path, output: Path, flags: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Restore ``film``; for each stage, frames done and resident MiB, about once a second."""
    command = [sys.executable, "-m", "vidrestore", "restore", str(film), "-o", str(output), "--json", *flags]
    seen: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told = json.loads(line) if line.startswith("{") else {}
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident = re.search(r"VmRSS:\s+(\d+) kB", status)
            if "frames" in told and resident is not None:
                seen[told["stage"]].append((told["frames"], int(resident[1]) / 1024))
    if process.returncode != 0:
        raise SystemExit(f"the run ended with {process.returncode}")
    return seen


def main() -> None:
    """Print the memory of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--settled", type=float, default=5.0)
    arguments, flags = parser.parse_known_args()
    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / "film.mp4"
        count = make_film(film, arguments.minutes, (width, height))
        seen = watch(film, Path(name) / "out.mp4", flags)
    minute, settled = 60 * RATE, arguments.settled * 60 * RATE
    for stage, points in seen.items():
        early = [resident for frames, resident in points if settled <= frames < settled + minute]
        late = [resident for frames, resident in points if frames >= count - minute]
        print(
            f"{stage}: {count} frames, peak {max(resident for _, resident in points):.0f} MiB, "
            f"after {arguments.settled:g} minutes {np.mean(early):.0f} MiB, in the last minute {np.mean(late):.0f} MiB"
        )


if __name__ == "__main__":
    main()
