"""Kill a run with SIGKILL at random moments, continue it, and compare the result with that of a run left alone.

    python benchmarks/kills.py CLIP [--kills 100] [--seed 0] [--again 0.3] [RESTORE FLAGS ...]

Each run is a process of its own that runs the command line. Most are killed once; a share of ``--again`` is killed
again while it continues. What is compared is everything in the file: packets with their times, decoded frames.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import av

from vidrestore.cli import run as run_command
from vidrestore.journal import folder_of, read_header

_PROCESSES = multiprocessing.get_context("forkserver")
"""Processes that are forked from one in which all is imported, so that a run is as short as its work."""


def content_of(path: Path) -> str:
    """Digest of all packets, with their times, and of all decoded frames of the video."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux():
            times = (packet.stream_index, packet.pts, packet.dts, packet.duration)
            digest.update(repr(times).encode() + bytes(packet))
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(repr(frame.pts).encode() + b"".join(bytes(plane) for plane in frame.planes))
    return digest.hexdigest()


def _command(*arguments: str) -> None:
    sys.exit(run_command(arguments))


def restoring(clip: Path, output: Path, flags: Sequence[str]) -> BaseProcess:
    """A process that has begun to restore ``clip``."""
    process = _PROCESSES.Process(target=_command, args=("restore", str(clip), "-o", str(output), *flags))
    process.start()
    return process


def finished(process: BaseProcess) -> None:
    """Wait for a run to end well."""
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"a run ended with {process.exitcode}")


def segments_of(output: Path) -> int | None:
    """How many segments a run that was killed has left; None where it had not begun, or was done."""
    folder = folder_of(output)
    if not folder.is_dir() or read_header(folder) is None:
        return None
    return len(list(folder.glob("segment_??????")))


def wait_for(process: BaseProcess, output: Path, segments: int) -> None:
    """Wait until a run has so many segments done, or is done itself."""
    while process.is_alive() and (segments_of(output) or 0) < segments:
        time.sleep(0.002)


def main() -> None:
    """Print for each run what was left of it, and how many results were the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=float, default=0.3)
    arguments, flags = parser.parse_known_args()
    own = [flag.partition(":")[0] for flag in flags if ":" in flag]
    _PROCESSES.set_forkserver_preload(["vidrestore.cli", "vidrestore.api", "vidrestore.api.stills", *own])
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = folder / f"alone{arguments.clip.suffix}"
        begun = time.monotonic()
        finished(restoring(arguments.clip, alone, [*flags, "--keep-work"]))
        count, expected = segments_of(alone) or 0, content_of(alone)
        step = (time.monotonic() - begun) / (count + 1)
        left: Counter[int | None] = Counter()
        same = kills = 0
        while kills < arguments.kills:
            output = folder / f"killed{arguments.clip.suffix}"
            while True:
                process = restoring(arguments.clip, output, flags)
                wait_for(process, output, dice.randint(0, count))
                process.join(dice.uniform(0, step))
                process.kill()
                process.join()
                kills += 1
                left[segments_of(output)] += 1
                if dice.random() >= arguments.again:
                    break
            finished(restoring(arguments.clip, output, flags))
            if content_of(output) != expected or folder_of(output).exists():
                shutil.copy(output, Path.cwd() / f"differs_{kills}{output.suffix}")
                raise SystemExit(f"after kill {kills} the result differs")
            same += 1
            output.unlink()
    print(f"{kills} kills of a run of {count} segments, {same} results, all the same as that of a run left alone")
    for number, count in sorted(left.items(), key=str):
        print(f"{count} kills left {'nothing' if number is None else f'{number} segments'}")


if __name__ == "__main__":
    main()
