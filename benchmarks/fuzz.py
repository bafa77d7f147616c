"""Damaged and hostile files, made by mutating real clips: nothing may crash, hang or take memory without bound.

    python benchmarks/fuzz.py [--mutants 2000] [--first 0] [--clips FOLDER] [--keep FOLDER] [--sheet FILE]

Every mutant is probed, read, sought and copied into a new file (every stream but the video packet by packet), in a
child process, because FFmpeg might take it down. A mutant fails where anything but a ``VidrestoreError`` comes out,
where the process dies, takes longer than ``MOST_SECONDS`` or more memory than ``MOST_MIB``, or where the new file
cannot be written or does not hold exactly the frames that were decoded. Mutant N is the same wherever the clips are.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av

MOST_SECONDS = 30.0
"""For one mutant of a clip of a second; the slowest healthy one takes 2 s on one busy core."""
MOST_MIB = 1024
"""Resident memory of the process; 150 MiB of it are Python and the libraries."""
ADDRESS_SPACE = 8 << 30
"""Where the child is stopped by the system before the machine suffers."""
MOST_FRAMES = 200
CLIP_PACKETS = 12

Mutation = Callable[[random.Random, bytearray], None]


# Mutations: each changes the content of a file in place.


def flip_bits(chance: random.Random, content: bytearray) -> None:
    """Some single bits anywhere."""
    for _ in range(chance.choice((1, 3, 10, 100))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_bits_of_the_head(chance: random.Random, content: bytearray) -> None:
    """Some single bits where headers are."""
    for _ in range(chance.choice((1, 3, 10))):
        content[chance.randrange(min(len(content), 2048))] ^= 1 << chance.randrange(8)


def overwrite(chance: random.Random, content: bytearray) -> None:
    """A block of noise, zeros or ones."""
    start, length = _block(chance, content)
    fill = chance.choice((chance.randbytes(length), bytes(length), b"\xff" * length))
    content[start : start + length] = fill


def truncate(chance: random.Random, content: bytearray) -> None:
    """The rest is missing."""
    del content[chance.randrange(1, len(content)) :]


def cut_out(chance: random.Random, content: bytearray) -> None:
    """A block is missing."""
    start, length = _block(chance, content)
    del content[start : start + length]


def duplicate(chance: random.Random, content: bytearray) -> None:
    """A block is there twice."""
    start, length = _block(chance, content)
    content[start:start] = content[start : start + length]


def swap(chance: random.Random, content: bytearray) -> None:
    """Two blocks have changed places."""
    length = max(len(content) // 16, 1)
    one, other = sorted(chance.randrange(max(len(content) - length, 1)) for _ in range(2))
    length = min(length, other - one)
    content[one : one + length], content[other : other + length] = (
        content[other : other + length],
        content[one : one + length],
    )


def splice(chance: random.Random, content: bytearray) -> None:
    """The file goes on with an earlier or later part of itself."""
    content[chance.randrange(len(content)) :] = content[chance.randrange(len(content)) :]


def attack_box(chance: random.Random, content: bytearray) -> None:
    """A number in an mp4 box becomes extreme: a size, a count, a dimension, a duration."""
    names = [found.start() for found in re.finditer(rb"[a-z][a-z0-9]{2}[a-z0-9 ]", content[: 1 << 20])]
    if not names:
        return
    for _ in range(chance.choice((1, 2, 4))):
        name = chance.choice(names)
        place = name - 4 if chance.random() < 0.3 else name + 4 * chance.randrange(1, 12)
        _write(content, place, _extreme(chance, 4))


def attack_element(chance: random.Random, content: bytearray) -> None:
    """The length or value of a Matroska element becomes extreme."""
    marks = (b"\x1a\x45\xdf\xa3", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b")
    small = (
        b"\xae",
        b"\xb0",
        b"\xba",
        b"\xe0",
        b"\xe1",
        b"\xa3",
        b"\xa0",
        b"\x86",
        b"\x63\xa2",
        b"\x44\x89",
        b"\x23\xe3\x83",
    )
    mark = chance.choice(marks if chance.random() < 0.4 else small)
    places = [found.end() for found in re.finditer(re.escape(mark), content)]
    if places:
        place = chance.choice(places[:200])
        _write(content, place, _extreme(chance, chance.choice((1, 2, 4, 8))))


def attack_unit(chance: random.Random, content: bytearray) -> None:
    """The head of a NAL or start code unit is changed: parameter sets and slice headers."""
    places = [found.end() for found in re.finditer(rb"\x00\x00\x01", content)]
    lengths = [
        found.start() for found in re.finditer(rb"\x00\x00[\x00-\x7f].[\x06\x26\x41\x61\x65\x67\x68]", content, re.S)
    ]
    if not places and not lengths:
        return
    place = chance.choice(places or [spot + 4 for spot in lengths])
    for offset in range(chance.choice((1, 2, 8))):
        _write(content, place + offset + chance.randrange(16), bytes([chance.randrange(256)]))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits_of_the_head,
    overwrite,
    truncate,
    cut_out,
    duplicate,
    swap,
    splice,
    attack_box,
    attack_box,
    attack_element,
    attack_element,
    attack_unit,
)


def _block(chance: random.Random, content: bytearray) -> tuple[int, int]:
    length = min(chance.choice((1, 4, 16, 188, 1024, 8192)), len(content))
    return chance.randrange(len(content) - length + 1), length


def _extreme(chance: random.Random, size: int) -> bytes:
    top = 2 ** (8 * size)
    value = chance.choice((0, 1, 2, top - 1, top // 2, top // 2 - 1, top // 256, chance.randrange(top)))
    return value.to_bytes(size, "big")


def _write(content: bytearray, place: int, what: bytes) -> None:
    if 0 <= place <= len(content) - len(what):
        content[place : place + len(what)] = what


def mutant(number: int, clips: Sequence[Path]) -> tuple[str, bytes, str]:
    """Name, content and extension of a mutant: one or two mutations of one of ``clips``."""
    chance = random.Random(number)
    clip = clips[number % len(clips)]
    content = bytearray(clip.read_bytes())
    chosen = [chance.choice(MUTATIONS) for _ in range(chance.choice((1, 1, 2)))]
    for mutation in chosen:
        if content:
            mutation(chance, content)
    return f"{clip.name}: {', '.join(mutation.__name__ for mutation in chosen)}", bytes(content), clip.suffix


# One mutant, in the child.


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant."""

    number: int
    what: str
    ended: str
    """``copied``, ``refused`` (a VidrestoreError), or how it failed."""
    detail: str
    seconds: float
    mib: float

    @property
    def failed(self) -> bool:
        return self.ended not in {"copied", "refused"} or self.seconds > MOST_SECONDS or self.mib > MOST_MIB


def exercise(path: Path, folder: Path) -> None:
    """Do with a file what the program does with one; an AssertionError where the result is not what was promised."""
    from vidrestore.errors import VideoError
    from vidrestore.types import Span
    from vidrestore.video import VideoWriter, open_random_access, probe, read_frames

    info = probe(path)
    output = folder / "copy.mkv"
    written = []
    with closing(read_frames(path)) as frames, VideoWriter(path, output, codec="ffv1") as writer:
        for frame in islice(frames, MOST_FRAMES):
            writer.write(frame)
            written.append((frame.pts * frame.time_base, frame.image.shape))
    assert all(one[0] < other[0] for one, other in pairwise(written)), "timestamps do not rise"
    assert len({shape for _, shape in written}) == 1, "pictures change their shape"
    assert info.width * info.height == written[0][1][0] * written[0][1][1], "probe tells another size"
    found = [frame.pts * frame.time_base for frame in read_frames(output)]
    assert len(found) == len(written), f"{len(found)} of {len(written)} frames were written"
    try:
        middle = float(written[len(written) // 2][0] - written[0][0])
        list(islice(read_frames(path, Span(max(middle, 0.0))), 3))
        with open_random_access(path) as access:
            for pts in {*access.pts[:1], *access.pts[-1:]}:
                assert access.frame_at(pts).pts == pts, "another frame was sought"
    except VideoError:
        pass


def child(folder: Path) -> None:
    """Exercise mutants, whose numbers, names and paths come as JSON lines, and answer each with an ``Outcome``."""
    from vidrestore.errors import VidrestoreError

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for line in sys.stdin:
        number, what, path = json.loads(line)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        begun, ended, detail = time.monotonic(), "copied", ""
        try:
            exercise(Path(path), folder)
        except VidrestoreError as error:
            ended, detail = "refused" if path in str(error) else "not written", str(error)
        except BaseException as error:
            ended, detail = type(error).__name__, traceback.format_exc()
        outcome = Outcome(number, what, ended, detail, time.monotonic() - begun, _peak_mib())
        print(json.dumps(asdict(outcome)), flush=True)


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


# All mutants, in the parent.


def run(numbers: Iterator[int] | Sequence[int], clips: Sequence[Path], keep: Path | None = None) -> Iterator[Outcome]:
    """The outcome of each mutant; those that fail are copied to ``keep``."""
    with tempfile.TemporaryDirectory() as name:
        folder, process = Path(name), None
        for number in numbers:
            if process is None or process.poll() is not None:
                process = _start(folder)
            what, content, extension = mutant(number, clips)
            path = folder / f"mutant{extension}"
            path.write_bytes(content)
            outcome = _ask(process, number, what, path)
            if outcome.failed and keep is not None:
                (keep / f"{number}{extension}").write_bytes(content)
            yield outcome
        if process is not None:
            process.communicate(timeout=MOST_SECONDS)


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", str(folder)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    )


def _ask(process: subprocess.Popen[str], number: int, what: str, path: Path) -> Outcome:
    """The child's answer; where none comes in time, the child is stopped."""
    assert process.stdin is not None
    assert process.stdout is not None
    begun = time.monotonic()
    process.stdin.write(json.dumps([number, what, str(path)]) + "\n")
    process.stdin.flush()
    answers: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda out: answers.put(out.readline()), args=[process.stdout], daemon=True).start()
    try:
        answer = answers.get(timeout=2 * MOST_SECONDS)
    except queue.Empty:
        process.kill()
        process.wait()
        return Outcome(number, what, "hang", "", time.monotonic() - begun, 0.0)
    if answer:
        return Outcome(**json.loads(answer))
    code = process.wait()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Outcome(number, what, "crash", how, time.monotonic() - begun, 0.0)


# Clips.


def shortened(folder: Path, into: Path) -> list[Path]:
    """The first packets of every clip of ``folder``, in the container they come in."""
    made = []
    for source in sorted(folder.glob("*.mp*")):
        path = into / source.name
        options = {} if path.suffix == ".mpg" else {"movflags": "faststart"}  # a truncated one is still opened
        with av.open(str(source)) as container, av.open(str(path), "w", options=options) as output:
            video = container.streams.video[0]
            stream = output.add_stream_from_template(video)
            for packet in islice((packet for packet in container.demux(video) if packet.size), CLIP_PACKETS):
                packet.stream = stream
                output.mux(packet)
        made.append(path)
    return made


def generated(into: Path) -> list[Path]:
    """Small clips in every container and codec that matters, made as the tests make theirs."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from media import Clip, make_clip

    small = {"size": (96, 64), "count": 24}
    fast = {"preset": "ultrafast", "bf": "2", "g": "8"}
    early = {"movflags": "faststart"}
    plain = {"time_base": Fraction(1, 25), "step": 1}
    clips = {
        "h264.mp4": Clip(**small, options=fast, audio_tracks=1, chapters=True, cover=True, muxer_options=early),
        "fragmented.mp4": Clip(**small, options=fast, muxer_options={"movflags": "frag_keyframe+empty_moov"}),
        "rotated.mov": Clip(**small, rotation=90, codec="prores_ks", pixel_format="yuv422p10le", options={}),
        "h264.mkv": Clip(**small, options=fast, audio_tracks=2, subtitle=True, chapters=True),
        "hevc.mp4": Clip(
            **small,
            muxer_options=early,
            codec="libx265",
            options={"preset": "ultrafast", "x265-params": "log-level=none"},
        ),
        "vp9.webm": Clip(**small, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}),
        "ffv1.mkv": Clip(**small, codec="ffv1", pixel_format="yuv444p", options={}),
        "h264.ts": Clip(**small, options=fast, time_base=Fraction(1, 90000), step=3600, audio_tracks=1),
        "mpeg2.mpg": Clip(**small, **plain, codec="mpeg2video", options={"bf": "2"}),
        "mpeg4.avi": Clip(**small, **plain, codec="mpeg4", options={"bf": "2"}),
        "mjpeg.avi": Clip(**small, **plain, codec="mjpeg", pixel_format="yuvj420p", options={}),
        "flv1.flv": Clip(**small, time_base=Fraction(1, 1000), step=40, codec="flv", options={}),
        "wmv2.asf": Clip(**small, time_base=Fraction(1, 1000), step=40, codec="wmv2", options={}),
        "mpeg2.mxf": Clip(**small, **plain, codec="mpeg2video", options={}),
        "raw.nut": Clip(size=(32, 24), count=8, **plain, codec="rawvideo", options={}),
    }
    return [make_clip(into / name, clip) for name, clip in clips.items()]


def main() -> None:
    """Run the mutants, print a table and end with 1 where any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--clips", type=Path, help="folder of real clips, mutated as well")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that fail")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child)
        return
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        clips = generated(Path(name))
        if arguments.clips is not None:
            clips += shortened(arguments.clips, Path(name))
        numbers = range(arguments.first, arguments.first + arguments.mutants)
        outcomes = []
        for outcome in run(numbers, clips, arguments.keep):
            outcomes.append(outcome)
            if outcome.failed:
                shown = outcome.detail.strip().splitlines()[-1:]
                print(f"{outcome.number} {outcome.what}: {outcome.ended} {shown} {outcome.seconds:.1f} s", flush=True)
    counts = Counter(outcome.ended for outcome in outcomes)
    print(f"{len(outcomes)} mutants of {len(clips)} clips: {dict(counts)}")
    print(f"slowest {max(item.seconds for item in outcomes):.1f} s, most memory {max(o.mib for o in outcomes):.0f} MiB")
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"failed: {failed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
