"""Which quality setting of each encoder looks like which of x264's: the figures behind ``codecs.same_quality``.

    python benchmarks/encoders.py CLIP... [--frames 12] [--preset veryfast]

Frames of the clips are encoded by every encoder at every third step of its scale and decoded again. What counts is the
mean PSNR of luma against the frames that went in. For each setting of x264 the table tells the setting of the other
encoder that comes to the same PSNR.
"""

from __future__ import annotations

import argparse
import io
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from vidrestore.video.codecs import encoder_options

RATE = Fraction(1, 25)
X264 = range(10, 35, 3)
SCALES = {"libx265": range(8, 40, 3), "libsvtav1": range(3, 64, 5), "libvpx-vp9": range(3, 64, 5)}


def frames_of(path: Path, count: int) -> list[av.VideoFrame]:
    """The first ``count`` frames as yuv420p."""
    with av.open(str(path)) as container:
        return [frame.reformat(format="yuv420p") for frame in islice(container.decode(video=0), count)]


def luma(frame: av.VideoFrame) -> np.ndarray:
    """(H, W) float32."""
    return frame.to_ndarray(format="gray").astype(np.float32)


def quality(frames: list[av.VideoFrame], codec: str, setting: int, preset: str) -> tuple[float, int]:
    """Mean PSNR of luma in dB, and bytes."""
    buffer = io.BytesIO()
    options = encoder_options(codec, 16, preset, "yuv420p") | {"crf": str(setting)}
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.codec_context.time_base = RATE
        for index, frame in enumerate(frames):
            again = frame.reformat(format="yuv420p")
            again.pts, again.time_base, again.pict_type = index, RATE, 0
            container.mux(stream.encode(again))
        container.mux(stream.encode(None))
    size = buffer.tell()
    buffer.seek(0)
    with av.open(buffer) as container:
        errors = [
            float(np.mean((luma(one) - luma(two)) ** 2))
            for one, two in zip(frames, container.decode(video=0), strict=True)
        ]
    return float(np.mean([10 * np.log10(255**2 / max(error, 1e-3)) for error in errors])), size


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--preset", default="veryfast")
    given = parser.parse_args()
    clips = [frames_of(path, given.frames) for path in given.clips]

    def curve(codec: str, settings: range) -> np.ndarray:
        """PSNR for each setting, a mean over the clips."""
        return np.mean([[quality(clip, codec, crf, given.preset)[0] for crf in settings] for clip in clips], axis=0)

    truth = curve("libx264", X264)
    print("libx264", *(f"{crf}: {psnr:.2f} dB" for crf, psnr in zip(X264, truth, strict=True)), sep="\n  ", flush=True)
    for codec, settings in SCALES.items():
        psnr = curve(codec, settings)
        equal = np.interp(-truth, -psnr, np.array(settings, float))
        pairs = zip(X264, equal, strict=True)
        print(codec, *(f"x264 {crf} is {setting:.1f}" for crf, setting in pairs), sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
