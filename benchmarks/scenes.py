"""Short edits whose truth is known, made from portraits: who stands where in every frame, and where the cuts are.

Every edit is a list of frames with people in front of a background, some of them mixed, flashed or grainy, encoded by
x264. A person is the head of a photograph, cut out by a soft ellipse and moved, turned, scaled and graded. The same
seed gives the same edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from vidrestore.geometry import eye_distance, transform
from vidrestore.training.portraits import LoadedPortrait
from vidrestore.types import Floats, Image

WIDTH, HEIGHT, RATE = 480, 270, 15
MIN_VISIBLE = 0.6
"""Share of a face's box that must be in the picture and uncovered for the face to count as there."""


@dataclass(frozen=True)
class Standing:
    """A person in one frame."""

    who: LoadedPortrait
    x: float
    """Centre of the face."""
    y: float
    width: float
    """Of the face."""
    roll: float = 0.0
    """Degrees, clockwise."""


@dataclass(frozen=True)
class View:
    """What one frame shows, people from back to front."""

    background: Image
    people: tuple[Standing, ...] = ()
    shift: float = 0.0
    """Pixels by which the background has moved to the left."""


@dataclass(frozen=True)
class TrueFace:
    """A face that can be seen in a frame."""

    person: str
    box: Floats
    """(4,)."""
    eyes: float
    """Distance of the eye centres in pixels."""


@dataclass
class Edit:
    """An edit and its truth."""

    name: str
    images: list[Image] = field(default_factory=list)
    faces: list[tuple[TrueFace, ...]] = field(default_factory=list)
    """Of each frame."""
    cuts: list[int] = field(default_factory=list)
    """First frames of new shots."""
    gradual: list[tuple[int, int]] = field(default_factory=list)
    """First and last frame of each dissolve, and of each fade through black into another shot."""

    def add(self, views: Sequence[View], finish: Callable[[Image, int], Image] = lambda image, _: image) -> None:
        """Append frames; ``finish`` gets each picture and its number among them."""
        for index, view in enumerate(views):
            image, faces = render(view)
            self.images.append(finish(image, index))
            self.faces.append(faces)

    def dissolve(self, old: View, new: View, frames: int) -> None:
        """Append mixtures of two views; they hold no faces that one could insist on."""
        first = len(self.images)
        (before, _), (after, _) = render(old), render(new)
        for share in np.arange(1, frames + 1) / (frames + 1):
            self.images.append(np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), dtype=np.uint8))
            self.faces.append(())
        self.gradual.append((first, len(self.images) - 1))


def render(view: View) -> tuple[Image, tuple[TrueFace, ...]]:
    """The picture of ``view``, and the faces that can be seen in it."""
    shifted = np.roll(view.background, -round(view.shift), axis=1)
    picture = np.ascontiguousarray(shifted[:HEIGHT, :WIDTH]).astype(np.float32)
    covers, faces = [], []
    for standing in view.people:
        person = standing.who
        scale = standing.width / float(person.box[2] - person.box[0])
        centre = (person.box[:2] + person.box[2:]) / 2
        matrix = np.asarray(cv2.getRotationMatrix2D((0.0, 0.0), -standing.roll, scale), dtype=np.float64)
        matrix[:, 2] = np.array([standing.x, standing.y]) - matrix[:, :2] @ centre
        source = person.image if scale > 0.8 else cv2.GaussianBlur(person.image, (0, 0), 0.45 / scale)
        size = (WIDTH, HEIGHT)
        head = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)
        mask = cv2.warpAffine(_head_mask(person), matrix, size, flags=cv2.INTER_LINEAR)
        picture = picture + mask[:, :, None] * (head - picture)
        covers = [np.maximum(cover, mask) for cover in covers]
        covers.append(np.zeros_like(mask))
        landmarks = transform(matrix, person.landmarks)
        middle, half = transform(matrix, centre), scale * (person.box[2:] - person.box[:2]) / 2
        faces.append(TrueFace(person.person, np.concatenate([middle - half, middle + half]), eye_distance(landmarks)))
    seen = tuple(face for face, cover in zip(faces, covers, strict=True) if _visible(face.box, cover) >= MIN_VISIBLE)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), seen


def _head_mask(person: LoadedPortrait) -> Floats:
    """1 on the head, hair included, and 0 elsewhere (H, W)."""
    mask = np.zeros(person.image.shape[:2], np.float32)
    width, height = (float(side) for side in person.box[2:] - person.box[:2])
    centre = (person.box[:2] + person.box[2:]) / 2 - (0, 0.08 * height)
    axes = (round(0.68 * width), round(0.78 * height))
    cv2.ellipse(mask, (round(centre[0]), round(centre[1])), axes, 0, 0, 360, 1.0, -1)
    edge = max(3.0, 0.04 * width)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), edge), dtype=np.float32)


def _visible(box: Floats, cover: Floats) -> float:
    """Share of ``box`` that is in the picture and not under ``cover`` (H, W)."""
    x0, y0, x1, y1 = np.round(box).astype(int)
    inside = cover[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    return float((1 - inside).sum()) / max((x1 - x0) * (y1 - y0), 1)


def write(edit: Edit, path: Path, crf: int = 26) -> None:
    """Encode ``edit`` by x264, as the web has it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "veryfast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for image in edit.images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def graded(person: LoadedPortrait, gain: float, tint: tuple[float, float, float]) -> LoadedPortrait:
    """A portrait in other light: nearly grey, tinted, and ``gain`` times as bright."""
    grey = person.image.mean(axis=2, keepdims=True)
    picture = (0.25 * person.image + 0.75 * grey) * gain * np.array(tint)
    return replace(person, image=np.clip(picture, 0, 255).astype(np.uint8))


def look_alikes(people: Sequence[tuple[LoadedPortrait, ...]]) -> list[int]:
    """Indices of ``people``, the two whose faces have the most similar colours first."""
    colours = np.array([_face_colour(pictures[0]) for pictures in people])
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    first, second = (int(i) for i in np.unravel_index(int(apart.argmin()), apart.shape))
    return [first, second, *(i for i in range(len(people)) if i not in (first, second))]


def _face_colour(person: LoadedPortrait) -> np.ndarray:
    x0, y0, x1, y1 = np.maximum(person.box, 0).astype(int)
    return person.image[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0)


def edits(
    people: Sequence[tuple[LoadedPortrait, ...]], backgrounds: Sequence[Image], seed: int = 2026
) -> Iterator[Edit]:
    """All edits, one after the other.

    Args:
        people: At least four, each with one or more pictures of different moments.
        backgrounds: At least four pictures of HEIGHT x WIDTH or more.
        seed: Of the grain.
    """
    rng = np.random.default_rng(seed)
    cast = [people[index] for index in look_alikes(people)]
    yield crossing(cast, backgrounds)
    yield returning(cast, backgrounds)
    yield same_light(cast, backgrounds)
    yield tilting(cast, backgrounds)
    yield alternating(cast, backgrounds)
    yield dissolving(cast, backgrounds)
    yield flashing(cast, backgrounds, rng)


People = Sequence[tuple[LoadedPortrait, ...]]


def crossing(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """Two people walk past each other, one in front of the other, and back again."""
    edit = Edit("crossing")
    path = np.concatenate([np.linspace(110, 370, 38), np.linspace(370, 110, 38)])
    first, second = cast[0][0], cast[2][0]
    edit.add([View(backgrounds[0], (Standing(second, 480 - x, 130, 74), Standing(first, x, 140, 84))) for x in path])
    return edit


def returning(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """One stays; the other leaves the picture for 1.5 s and for 4 s and comes back, once from the other side."""
    edit = Edit("returning")

    def views(path: Sequence[float]) -> list[View]:
        stays, walks = cast[1][0], cast[3][0]
        return [
            View(backgrounds[1], (Standing(stays, 240 + 8 * np.sin(x / 40), 125, 70), Standing(walks, x, 150, 66)))
            for x in path
        ]

    away = [620.0]
    edit.add(views([*np.linspace(380, 560, 20), *(away * round(1.5 * RATE)), *np.linspace(560, 370, 20)]))
    edit.add(views([*np.linspace(370, 560, 20), *(away * 4 * RATE), *np.linspace(-80, 100, 20), *([100.0] * 8)]))
    return edit


def same_light(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """Three people one after the other and again, all in the same dim, nearly colourless light."""
    edit = Edit("same light")
    for shot, index in enumerate((0, 1, 2, 1, 0, 2)):
        if shot:
            edit.cuts.append(len(edit.images))
        pictures = cast[index]
        person = graded(pictures[shot // 3 % len(pictures)], 0.5, (1.0, 0.95, 0.85))
        place = backgrounds[2 + shot % 2]
        dark = np.clip(place.mean(axis=2, keepdims=True) * 0.35 * (1.0, 0.95, 0.85), 0, 255).astype(np.uint8)
        edit.add([View(dark, (Standing(person, 220 + t, 135, 80 + shot),)) for t in range(13)])
    return edit


def tilting(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """One person comes three times nearer and leans 30 degrees to both sides."""
    edit = Edit("tilting")
    steps = np.linspace(0, 1, 60)
    edit.add(
        [
            View(
                backgrounds[3],
                (Standing(cast[2][0], 180 + 120 * t, 120, 36 * 3.0**t, 30 * np.sin(4 * np.pi * t)),),
            )
            for t in steps
        ]
    )
    return edit


def alternating(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """Eight shots of four people, two of whom look alike, at other sizes and in other pictures the second time."""
    edit = Edit("alternating")
    for shot, index in enumerate((0, 1, 2, 3, 1, 0, 3, 2)):
        if shot:
            edit.cuts.append(len(edit.images))
        pictures = cast[index]
        person = pictures[shot // 4 % len(pictures)]
        size = 62 + 9 * (shot % 4)
        edit.add([View(backgrounds[shot % 2], (Standing(person, 200 + 2 * t, 130 + t, size),)) for t in range(11)])
    return edit


def dissolving(cast: People, backgrounds: Sequence[Image]) -> Edit:
    """A face dissolves into another in the same place, which fades to black, out of which the first comes back."""
    edit = Edit("dissolving")
    first, second = cast[0][0], cast[3][0]
    one = [View(backgrounds[0], (Standing(first, 236 + t / 3, 130, 80),)) for t in range(24)]
    two = [View(backgrounds[2], (Standing(second, 240 - t / 3, 134, 84),)) for t in range(24)]
    edit.add(one)
    edit.dissolve(one[-1], two[0], 12)
    edit.add(two)
    black = View(np.zeros_like(backgrounds[0]))
    began = len(edit.images)
    edit.dissolve(two[-1], black, 8)
    edit.add([black, black])
    edit.dissolve(black, one[0], 8)
    edit.gradual[1:] = [(began, len(edit.images) - 1)]
    edit.add(one)
    return edit


def flashing(cast: People, backgrounds: Sequence[Image], rng: np.random.Generator) -> Edit:
    """One person in heavy grain, with flashes, while the camera stands, and swings fast: no cut at all."""
    edit = Edit("flashing")

    def film(image: Image, index: int) -> Image:
        grain = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]).astype(np.float32), (0, 0), 0.75)
        bright = 140.0 if index in (9, 10, 30) else 0.0
        return np.clip(image + bright + (14 * grain / grain.std())[:, :, None], 0, 255).astype(np.uint8)

    shifts = np.concatenate([np.zeros(24), np.cumsum(np.full(10, 24.0)), np.full(20, 240.0)])
    wide = np.concatenate([backgrounds[1], backgrounds[1][:, ::-1]], axis=1)
    edit.add([View(wide, (Standing(cast[1][0], 360 - shift, 130, 76),), shift) for shift in shifts], film)
    return edit
