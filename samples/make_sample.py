"""Render the sample clip: a public-domain photograph as old footage, and the same without the age.

The photograph is NASA's portrait of the astronaut Eileen Collins, which scikit-image ships. Two shots, one wide and one
close, move over it; the old version is blurred, faded, grainy, unsteady and compressed hard. Both have a tone as sound.

    python samples/make_sample.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

WIDTH, HEIGHT, RATE = 384, 288, 25
SHOT_FRAMES = 45
SAMPLE_RATE, TONE_HERTZ = 24_000, 330.0
FACE = (222.0, 122.0)
"""Centre of the face in the photograph."""
SHOTS = (
    # Zoom at the start and end, and where the face is in the frame at the start and end.
    (0.82, 0.95, (160.0, 94.0), (200.0, 108.0)),
    (1.45, 1.30, (212.0, 150.0), (168.0, 140.0)),
)


def views() -> Iterator[np.ndarray]:
    """The clean frames (HEIGHT, WIDTH, 3)."""
    photograph = data.astronaut()
    for zoom_from, zoom_to, place_from, place_to in SHOTS:
        for step in np.linspace(0, 1, SHOT_FRAMES):
            ease = step * step * (3 - 2 * step)
            zoom = zoom_from + (zoom_to - zoom_from) * ease
            place = np.array(place_from) + (np.array(place_to) - place_from) * ease
            angle = np.deg2rad(4 * np.sin(2 * np.pi * step))
            turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = np.concatenate((turn, (place - turn @ FACE)[:, None]), axis=1)
            source = cv2.GaussianBlur(photograph, (0, 0), 0.45 / zoom) if zoom < 1 else photograph
            yield cv2.warpAffine(
                source, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )


def age(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Old footage: soft, faded, grainy, with an unsteady gate and flickering light. The face stays where it is."""
    rng = np.random.default_rng(7)
    for frame in frames:
        picture = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1.3)
        grain = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 0.6)
        picture += (7 * grain / grain.std())[:, :, None] + 3 * rng.standard_normal(picture.shape)
        yield np.clip(picture + 1.5 * rng.standard_normal(), 0, 255).astype(np.uint8)


def write(path: Path, frames: Iterator[np.ndarray], crf: int) -> None:
    """Encode frames and a tone of the same length."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE)
        sound.layout = "mono"
        count = 0
        for frame in frames:
            count += 1
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
        samples = count * SAMPLE_RATE // RATE
        tone = 0.2 * np.sin(2 * np.pi * TONE_HERTZ * np.arange(samples) / SAMPLE_RATE).astype(np.float32)
        for start in range(0, samples, 1024):
            part = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))


def main() -> None:
    """Write both clips."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    write(folder / "astronaut_clean.mp4", views(), crf=14)
    write(folder / "astronaut_old.mp4", age(views()), crf=31)


if __name__ == "__main__":
    main()
