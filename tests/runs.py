"""A short film with a face, an analysis of it made by hand, and parts that work in no time: for tests of whole runs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import faces
import numpy as np
from av import VideoFrame
from media import add_tone
from numpy.typing import NDArray
from skimage import data

from vidrestore import store
from vidrestore.api.analyze import digest_for
from vidrestore.config import EncodingSettings, FacesSettings, RestorationSettings, Settings
from vidrestore.fusion import FusionSettings
from vidrestore.types import Analysis, Detection, FaceCrop, Floats, Identity, Image, Reference, Shot, Span, Track
from vidrestore.video import fingerprint, probe

SIZE = (128, 112)
COUNT, STEP, TIME_BASE = 48, 512, Fraction(1, 12800)
SHOTS = ((0, 8), (9, 30), (31, COUNT - 1))
"""First and last frame of each; the second is longer than a segment, so it is cut within."""
SETTINGS = Settings(
    faces=FacesSettings(pack="runs:Seer"),
    fusion=FusionSettings(reach_seconds=0.05),
    restoration=RestorationSettings(weights="runs:Sharpener", device="cpu"),
    encoding=EncodingSettings(preset="ultrafast", segment_seconds=0.5),
)


class Sharpener:
    """A restorer that sharpens."""

    name, licence, device, crop_size = "sharpener", "none", "cpu", 96

    def encode_references(self, _: list[Reference]) -> None:
        return None

    def restore(self, crops: list[FaceCrop], _: list[None]) -> list[Image]:
        return [_sharpened(crop.image) for crop in crops]


class Sociable(Sharpener):
    """A restorer whose pictures show how many faces it was given at once."""

    def restore(self, crops: list[FaceCrop], _: list[None]) -> list[Image]:
        return [np.clip(image, 0, 255 - 8 * len(crops)) for image in super().restore(crops, _)]


class Seer:
    """A detector that finds nothing, and tells faces apart by a small picture of them."""

    name, licence, device, same_person = "seer", "none", "cpu", 0.9

    def detect(self, _: Image) -> list[Detection]:
        return []

    def look(self, _: Image, boxes: list[Floats]) -> list[Detection | None]:
        return [None for _ in boxes]

    def embed(self, image: Image, _: Floats) -> Floats:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() - 128
        return small / np.linalg.norm(small)


def _sharpened(image: Image) -> Image:
    detail = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 2)
    return np.clip(image + 2 * detail, 0, 255).astype(np.uint8)


def _corner(index: int) -> tuple[int, int]:
    """Where frame ``index`` lies in the photograph: it drifts, and jumps at cuts."""
    shot = next(number for number, (_, last) in enumerate(SHOTS) if index <= last)
    return 160 + 8 * shot + index % 13, 62 + 5 * shot + index % 7


def make_film(path: Path) -> Path:
    """Write the film: variable rate, B-frames, a start that is not zero, and sound."""
    photograph = data.astronaut()
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", "g": "12"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = video.time_base = TIME_BASE
        video.codec_context.thread_count = 1
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for index, pts in enumerate(times()):
            left, top = _corner(index)
            image = photograph[top : top + SIZE[1], left : left + SIZE[0]]
            image = cv2.GaussianBlur(image, (0, 0), 1.2) + rng.integers(0, 6, image.shape, dtype=np.uint8)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, TIME_BASE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        add_tone(container, sound, float((times()[-1] + STEP) * TIME_BASE), 330)
    return path


def times() -> list[int]:
    """The pts of its frames; every seventh lasts twice as long."""
    return [6400 + (index + index // 7) * STEP for index in range(COUNT)]


def analyze_film(path: Path, work: Path, settings: Settings = SETTINGS) -> Analysis:
    """The analysis of the film, where each shot has one face, kept in ``work``."""
    pts = times()
    tracks = []
    for number, (first, last) in enumerate(SHOTS):
        numbers = range(first, last + 1)
        landmarks = np.stack([faces.ASTRONAUT - np.float32(_corner(index)) for index in numbers])
        boxes = np.concatenate([landmarks.min(axis=1), landmarks.max(axis=1)], axis=1)
        tracks.append(Track(number, pts[first : last + 1], boxes, landmarks, np.ones(len(numbers)), _one()))
    analysis = Analysis(
        video=probe(path),
        fingerprint=fingerprint(path),
        span=Span(),
        frame_count=COUNT,
        shots=tuple(Shot(pts[first], pts[last]) for first, last in SHOTS),
        tracks=tuple(tracks),
        identities=(Identity(0, "Eileen", (0, 1, 2), _one(), ()),),
        settings_digest=digest_for(settings),
        faces_model="seer (none)",
    )
    store.save(analysis, work)
    return analysis


def _one() -> NDArray[np.float32]:
    return np.eye(64, dtype=np.float32)[0]
