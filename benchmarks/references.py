"""Whether the references of a video are its undamaged frames.

    python benchmarks/references.py CLIP [--share 0.5] [--frames N] [--seed 2026] [--faces compact]

Runs of 1 to 15 frames of CLIP, together about the wanted share of it, are damaged, each in one way: out of focus, moved
while the shutter was open, grain, MPEG-2 at its coarsest quantiser, H.264 at a ruinous one with and without its
deblocking filter. How much is in proportion to the height of the frame. The clip is then analyzed as any other. Printed
as JSON: the share of chosen references whose frame is undamaged, and for each way how many frames it damaged and how
many references it got.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from vidrestore.analysis import analyze_frames
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.smoothing import RtsSmoother
from vidrestore.types import Analysis, Frame, Image, Span
from vidrestore.video import fingerprint, picture_from_rgb, probe, read_frames

SEED = 2026
LONGEST_RUN = 15
Damage = Callable[[Sequence[Image], np.random.Generator], list[Image]]


def defocused(images: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Gaussian blur, 3 to 6 pixels in 720 lines."""
    sigma = rng.uniform(3, 6) * images[0].shape[0] / 720
    return [cv2.GaussianBlur(image, (0, 0), sigma) for image in images]


def moved(images: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Blur along one direction, 12 to 24 pixels long in 720 lines."""
    length, angle = rng.uniform(12, 24) * images[0].shape[0] / 720, rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    for step in np.linspace(-length / 2, length / 2, 4 * reach + 1):
        spot = np.float32([[1, 0, reach + step * np.cos(angle)], [0, 1, reach + step * np.sin(angle)]])
        kernel += cv2.warpAffine(np.ones((1, 1), np.float32), spot, kernel.shape, flags=cv2.INTER_LINEAR)
    return [cv2.filter2D(image, -1, kernel / kernel.sum()) for image in images]


def grainy(images: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Gaussian noise of 20 to 35 levels."""
    deviation = rng.uniform(20, 35)
    return [np.clip(image + rng.normal(0, deviation, image.shape), 0, 255).astype(np.uint8) for image in images]


def encoded(images: Sequence[Image], codec: str, options: dict[str, str], quantiser: int | None = None) -> list[Image]:
    """``images`` after a real encoder, at a constant ``quantiser`` where one is given."""
    height, width = (side // 2 * 2 for side in images[0].shape[:2])
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base, encoder.options = Fraction(25), Fraction(1, 25), options
    encoder.thread_count = 1
    if quantiser is not None:
        encoder.qmin = encoder.qmax = quantiser
        encoder.bit_rate = 1000
    packets = []
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    decoder = av.CodecContext.create({"libx264": "h264"}.get(codec, codec), "r")
    decoder.extradata = encoder.extradata
    decoded = [frame for packet in [*packets, *encoder.encode(None), None] for frame in decoder.decode(packet)]
    results = []
    for image, frame in zip(images, decoded, strict=True):
        result = image.copy()
        result[:height, :width] = frame.to_ndarray(format="rgb24")
        results.append(result)
    return results


DAMAGES: dict[str, Damage] = {
    "defocused": defocused,
    "moved": moved,
    "grainy": grainy,
    "MPEG-2": lambda images, _: encoded(images, "mpeg2video", {}, 31),
    "H.264": lambda images, _: encoded(images, "libx264", {"crf": "48", "preset": "veryfast"}),
    "H.264 without deblocking": lambda images, _: encoded(
        images, "libx264", {"crf": "46", "preset": "veryfast", "x264-params": "no-deblock=1"}
    ),
}


def damaged(frames: Iterator[Frame], share: float, rng: np.random.Generator, ways: dict[int, str]) -> Iterator[Frame]:
    """``frames``, about ``share`` of them damaged in runs; ``ways`` is told how, by pts."""
    names = list(DAMAGES)
    while True:
        run = list(islice(frames, int(rng.integers(1, LONGEST_RUN + 1))))
        if not run:
            return
        if rng.random() >= share:
            yield from run
            continue
        name = names[rng.integers(len(names))]
        images = DAMAGES[name]([frame.image for frame in run], rng)
        for frame, image in zip(run, images, strict=True):
            ways[frame.pts] = name
            yield Frame(frame.pts, frame.time_base, picture_from_rgb(image, pixel_format="yuv444p"))


def analyzed(
    clip: Path, share: float, count: int | None, seed: int, settings: Settings
) -> tuple[Analysis, dict[int, str]]:
    """The analysis of the damaged clip, and how each damaged frame was damaged, by pts."""
    ways: dict[int, str] = {}
    frames = damaged(islice(read_frames(clip), count), share, np.random.default_rng(seed), ways)
    detector, smoother = build_detector(settings.faces, "cpu"), RtsSmoother(settings.smoothing)
    analysis = analyze_frames(frames, probe(clip), fingerprint(clip), Span(), detector, smoother, settings)
    return analysis, ways


def figures_of(analysis: Analysis, ways: dict[int, str]) -> dict[str, object]:
    """What came of it."""
    chosen = [
        ways.get(int(reference.source.split()[1]), "undamaged")
        for identity in analysis.identities
        for reference in identity.references
    ]
    counts = Counter(chosen)
    return {
        "frames": analysis.frame_count,
        "damaged_frames": dict(Counter(ways.values())),
        "people": len(analysis.identities),
        "references": len(chosen),
        "references_by_damage": dict(counts),
        "undamaged_share": round(counts["undamaged"] / max(1, len(chosen)), 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--faces", default="compact")
    arguments = parser.parse_args()
    settings = Settings()
    analysis, ways = analyzed(arguments.clip, arguments.share, arguments.frames, arguments.seed, settings)
    print(json.dumps({"clip": arguments.clip.name, "seed": arguments.seed, **figures_of(analysis, ways)}, indent=1))


if __name__ == "__main__":
    main()
