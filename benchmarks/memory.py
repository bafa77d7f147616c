"""Peak memory of restoring a clip, and of the same clip repeated: it must not grow with the length.

    python benchmarks/memory.py [CLIP] [--times 10] [RESTORE FLAGS ...]

Both runs are whole processes; the peak is the operating system's own figure (resident set).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "astronaut_old.mp4"


def repeat(source: Path, times: int, destination: Path) -> None:
    """Copy the packets of a clip's video ``times`` times over, one after the other."""
    with av.open(str(destination), "w") as output:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                end = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    output.mux(packet)
                offset += end


def peak_of_restoring(source: Path, folder: Path, flags: Sequence[str]) -> int:
    """Peak resident memory in KiB of a whole run."""
    program = (
        "import resource, sys\n"
        "from vidrestore.cli import run\n"
        "code = run(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", program, "restore", str(source), "-o", str(folder / f"out_{source.name}")]
    done = subprocess.run([*command, "--quiet", *flags], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    """Print both peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--times", type=int, default=10)
    arguments, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once, often = folder / "once.mp4", folder / "often.mp4"
        repeat(arguments.clip, 1, once)
        repeat(arguments.clip, arguments.times, often)
        peaks = [peak_of_restoring(path, folder, flags) for path in (once, often)]
    print(
        f"once {peaks[0] / 1024:.0f} MiB, {arguments.times} times {peaks[1] / 1024:.0f} MiB, "
        f"ratio {peaks[1] / peaks[0]:.3f}"
    )


if __name__ == "__main__":
    main()
