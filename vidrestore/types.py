"""The nouns of vidrestore. Read this first.

Conventions, everywhere in the package:

* images are RGB ``uint8`` of shape ``(H, W, 3)``;
* points are ``(x, y)`` ``float32`` in pixels, pixel centres at integers;
* boxes are ``x0, y0, x1, y1`` ``float32`` in the same pixels;
* 68 landmarks are in iBUG order; the five keypoints are the two eye centres, the nose tip and the two mouth corners,
  each pair from the left of the picture to the right;
* time is an integer presentation timestamp (``pts``) times a ``Fraction`` time base;
* embeddings are L2-normalised ``float32``.

Values are frozen and check themselves where they are made. Arrays inside them are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

LANDMARK_COUNT = 68


def _freeze(owner: object, name: str, dtype: type, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Replace ``owner.name`` by a read-only array of ``dtype``; check its shape (``None`` is any length)."""
    value: npt.NDArray[Any] = np.asarray(getattr(owner, name), dtype=dtype)
    if len(value.shape) != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, value.shape, strict=True)
    ):
        raise ValueError(f"{type(owner).__name__}.{name} has shape {value.shape}, expected {shape}")
    value = value.view()
    value.flags.writeable = False
    object.__setattr__(owner, name, value)
    return value.shape


class _ShapeRepr:
    """``repr`` with array shapes instead of pixels."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = []
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            shown = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else repr(value)
            parts.append(f"{item.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class ColorInfo:
    """Colour tags as the integers of ITU-T H.273; ``full_range`` is the tag, ``None`` where it is missing."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a container: its index, kind (``video``, ``audio``, ``subtitle``, ...) and codec name."""

    index: int
    kind: str
    codec: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What becomes of one stream of the source in the output."""

    stream: StreamInfo
    fate: Literal["restored", "copied", "converted", "left out"]
    detail: str = ""
    """What it is converted to, or why it is left out."""

    def __str__(self) -> str:
        name = f"the {self.stream.kind} stream {self.stream.index} ({self.stream.codec})"
        return f"{name} is {self.fate}{': ' if self.detail else ''}{self.detail}"


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """What an output will hold, known before any work is done."""

    extension: str
    """Of its container, such as ``.mkv``."""
    codec: str
    """The encoder of the restored stream."""
    streams: tuple[StreamPlan, ...]
    notes: tuple[str, ...] = ()
    """A sentence for each choice that was made."""
    altered: tuple[str, ...] = ()
    """A sentence for each thing but streams that will not be as it is in the source."""
    better: str | None = None
    """The extension of a container that would take more of it."""

    @property
    def losses(self) -> tuple[str, ...]:
        """A sentence for each thing that is not carried over as it is."""
        return (*(str(plan) for plan in self.streams if plan.fate in ("converted", "left out")), *self.altered)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The choices, the losses, and which container would avoid them."""
        better = [f"{self.better} would keep more of this; name the output so"] if self.better else []
        return (*self.notes, *self.losses, *better)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a container says of its first video stream, without decoding it."""

    path: Path
    width: int
    """Pixels, after rotation: as the picture is shown."""
    height: int
    rotation: int
    """Degrees counter-clockwise that the player turns the stored picture: 0, 90, 180 or 270."""
    time_base: Fraction
    average_rate: Fraction | None
    frame_count: int | None
    """The container's own claim; never used to stop reading."""
    duration: float | None
    """Seconds."""
    pixel_format: str
    codec: str
    color: ColorInfo
    field_order: str
    """``progressive``, ``top_first``, ``bottom_first`` or ``unknown``."""
    sample_aspect_ratio: Fraction
    streams: tuple[StreamInfo, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """How the lines of a video's frames belong together in time, and why it is thought so."""

    kind: Literal["progressive", "interlaced"] = "progressive"
    """``interlaced``: every second line of a frame is of another moment than the rest."""
    top_first: bool = True
    """Of interlaced frames: whether the field with the uppermost line was taken first."""
    reason: str = "not looked at"
    """For people to read."""

    @property
    def is_interlaced(self) -> bool:
        return self.kind == "interlaced"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of presentation time in seconds from the stream's zero; ``stop`` ``None`` is the end."""

    start: float = 0.0
    stop: float | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"a span needs 0 <= start < stop, not {self.start} and {self.stop}")

    def __contains__(self, seconds: float) -> bool:
        return seconds >= self.start and (self.stop is None or seconds < self.stop)

    @property
    def whole(self) -> bool:
        """Whether this is all of a video, also what lies before time zero."""
        return self.start == 0.0 and self.stop is None


class Picture(Protocol):
    """A decoded picture in its own pixel format, addressed as it is shown (after rotation)."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def rgb(self) -> Image:
        """The whole picture as read-only RGB ``(H, W, 3)``; computed once and kept."""
        ...

    def add(self, left: int, top: int, difference: Floats) -> None:
        """Add ``difference`` ``(h, w, 3)``, in RGB levels of 0..255, with its corner at ``(left, top)``, in place.

        A pixel whose difference is zero keeps its stored values bit for bit (with subsampled chroma: a block of
        pixels whose differences are all zero). The part outside the picture is ignored.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame of a video."""

    pts: int
    time_base: Fraction
    picture: Picture

    @property
    def seconds(self) -> float:
        return float(self.pts * self.time_base)

    @property
    def image(self) -> Image:
        return self.picture.rgb()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detection(_ShapeRepr):
    """One face found in one frame."""

    box: Floats
    score: float
    """0..1."""
    keypoints: Floats
    landmarks: Floats | None = None
    embedding: Floats | None = None

    def __post_init__(self) -> None:
        _freeze(self, "box", np.float32, (4,))
        _freeze(self, "keypoints", np.float32, (5, 2))
        if self.landmarks is not None:
            _freeze(self, "landmarks", np.float32, (LANDMARK_COUNT, 2))
        if self.embedding is not None:
            _freeze(self, "embedding", np.float32, (None,))
        object.__setattr__(self, "score", float(self.score))
        if not 0 <= self.score <= 1:
            raise ValueError(f"Detection.score is {self.score}, expected 0..1")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Track(_ShapeRepr):
    """One face followed through one shot, as columns over its ``T`` frames."""

    id: int
    pts: Integers
    """(T,), strictly rising; every decoded frame from first to last, also those without a detection."""
    boxes: Floats
    """(T, 4)."""
    landmarks: Floats
    """(T, 68, 2); NaN where nothing was detected, until smoothed."""
    scores: Floats
    """(T,); detection score, 0 where nothing was detected."""
    embedding: Floats | None
    """(D,) mean over the best frames, or None where no frame was good enough to tell who it is."""

    def __post_init__(self) -> None:
        (count,) = _freeze(self, "pts", np.int64, (None,))
        _freeze(self, "boxes", np.float32, (count, 4))
        _freeze(self, "landmarks", np.float32, (count, LANDMARK_COUNT, 2))
        _freeze(self, "scores", np.float32, (count,))
        if self.embedding is not None:
            _freeze(self, "embedding", np.float32, (None,))
        if count == 0 or np.any(np.diff(self.pts) <= 0):
            raise ValueError(f"Track {self.id}: pts must be strictly rising and not empty")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference(_ShapeRepr):
    """An aligned picture of a person, good enough to restore others from."""

    image: Image
    """(S, S, 3)."""
    landmarks: Floats
    """(68, 2) in ``image``."""
    source: str
    """Where it is from: ``pts 1234`` or a file name."""
    sharpness: float
    score: float
    reason: str
    """Why it was chosen, for people to read."""

    def __post_init__(self) -> None:
        _freeze(self, "image", np.uint8, (None, None, 3))
        _freeze(self, "landmarks", np.float32, (LANDMARK_COUNT, 2))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidate(_ShapeRepr):
    """A picture of a tracked face that may become a reference of the person whose track it is."""

    track_id: int
    pts: int
    seconds: float
    packed: bytes = field(repr=False)
    """The aligned crop as a fine JPEG; ``vidrestore.references.unpack`` gives the picture."""
    landmarks: Floats
    """(68, 2) in the crop."""
    eye_distance: float
    """Pixels of the frame."""
    pose: tuple[float, float, float]
    """Yaw, pitch and roll in degrees."""
    sharpness: float
    score: float
    embedding: Floats | None = None

    def __post_init__(self) -> None:
        _freeze(self, "landmarks", np.float32, (LANDMARK_COUNT, 2))
        if self.embedding is not None:
            _freeze(self, "embedding", np.float32, (None,))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Identity(_ShapeRepr):
    """One person: tracks that show the same face."""

    id: int
    name: str
    track_ids: tuple[int, ...]
    embedding: Floats | None
    references: tuple[Reference, ...]
    """Best first; may be empty."""
    strength: float = 1.0
    """0 leaves the faces as they are, 1 restores them fully."""
    enabled: bool = True
    span: Span = field(default_factory=Span)
    """Where in the video this person is restored."""

    def __post_init__(self) -> None:
        if self.embedding is not None:
            _freeze(self, "embedding", np.float32, (None,))
        if not 0 <= self.strength <= 1:
            raise ValueError(f"Identity.strength is {self.strength}, expected 0..1")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Face(_ShapeRepr):
    """One face in one frame, after smoothing."""

    track_id: int
    identity_id: int | None
    landmarks: Floats
    """(68, 2)."""
    weight: float
    """0..1: how far the restored face replaces the source; fades for small and turned faces and at track ends."""
    kept_because: str | None = None
    """Why the face stays as it is, where its weight is 0 for a reason worth telling."""

    def __post_init__(self) -> None:
        _freeze(self, "landmarks", np.float32, (LANDMARK_COUNT, 2))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceCrop(_ShapeRepr):
    """A face cut out of a frame into an aligned square."""

    face: Face
    image: Image
    """(S, S, 3)."""
    matrix: Floats
    """(2, 3), frame to crop."""
    landmarks: Floats
    """(68, 2) in the crop."""

    def __post_init__(self) -> None:
        _freeze(self, "image", np.uint8, (None, None, 3))
        _freeze(self, "matrix", np.float32, (2, 3))
        _freeze(self, "landmarks", np.float32, (LANDMARK_COUNT, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The faces of each frame, by exact pts."""

    faces: Mapping[int, tuple[Face, ...]] = field(default_factory=dict)

    def at(self, pts: int) -> tuple[Face, ...]:
        """Faces in the frame with this pts; empty where there are none."""
        return self.faces.get(pts, ())


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames between two cuts: first and last pts, both inside."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class IdentityMargin:
    """How clearly the tracks fell into people."""

    threshold: float
    """Similarity of two groups of tracks, a cosine -1..1, above which they became one person."""
    least_joined: float | None = None
    """Similarity at the least sure join; None where nothing was joined."""
    most_apart: float | None = None
    """Similarity of the two most similar people who stayed two and never share a frame; None where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """All that pass 1 learnt of a video; what pass 2 needs."""

    video: VideoInfo
    fingerprint: str
    """Digest of the video file's size and content samples; tells one file from another."""
    span: Span
    frame_count: int
    """Frames really decoded."""
    shots: tuple[Shot, ...]
    tracks: tuple[Track, ...]
    """Landmarks smoothed, without gaps."""
    identities: tuple[Identity, ...]
    settings_digest: str
    """Digest of the settings and model files that decided the result."""
    faces_model: str
    """Name and licence of the model pack that found the faces."""
    warnings: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """Of all tracks, also those that became references: what a user's hand may choose from."""
    margin: IdentityMargin | None = None
    scan: Scan = Scan()
    """Whether its frames are interlaced; if so, tracks are of their first fields."""
    film_cycles: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    """Of film that became interlaced video: pts of the first of each five frames that are surely four frames of film,
    rising."""

    @property
    def starts_at(self) -> float:
        """Presentation time of the first decoded frame in seconds: what the spans of its people count from."""
        return float(self.shots[0].first * self.video.time_base) if self.shots else 0.0

    @property
    def unassigned_tracks(self) -> tuple[Track, ...]:
        """The tracks of nobody."""
        owned = {number for identity in self.identities for number in identity.track_ids}
        return tuple(track for track in self.tracks if track.id not in owned)


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a running pass, for progress bars and JSON lines."""

    stage: str
    frames_done: int
    frames_total: int | None
    faces_done: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user should know at once, and not when all is done."""

    text: str


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """One report of a running training, for progress bars and JSON lines."""

    network: str
    step: int
    """Steps done, also in earlier sessions."""
    minutes: float
    """Minutes trained, also in earlier sessions."""
    share: float
    """0..1: how much of the training is done."""
    figures: Mapping[str, float]
    """What was measured last: losses, and figures on held-out pictures."""


class Detector(Protocol):
    """Finds faces. NumPy outside, whatever it likes inside."""

    name: str
    licence: str
    device: str
    same_person: float
    """Cosine, -1..1, of two tracks' embeddings from which they show one person, measured for this detector."""

    def detect(self, image: Image) -> Sequence[Detection]:
        """Faces of one RGB picture, each with landmarks and embedding."""
        ...

    def look(self, image: Image, boxes: Sequence[Floats]) -> Sequence[Detection | None]:
        """What is in ``boxes`` (each ``(4,)``), where faces ought to be: a face each, or ``None``."""
        ...

    def embed(self, image: Image, landmarks: Floats) -> Floats | None:
        """Who is it: normalised embedding ``(D,)`` of the face with these ``landmarks`` ``(68, 2)`` in ``image``.

        ``None`` where the pack has no network for it.
        """
        ...


class Smoother(Protocol):
    """Makes point tracks steady and fills their gaps."""

    def __call__(self, points: Floats, seconds: npt.NDArray[np.float64]) -> Floats:
        """``points`` ``(T, P, 2)`` with NaN where missing, at rising ``seconds`` ``(T,)``; the same without NaN."""
        ...


class Restorer(Protocol):
    """Restores aligned face crops, with or without the memory of a person."""

    name: str
    licence: str
    device: str
    crop_size: int
    """Pixels of the square it wants."""

    def encode_references(self, references: Sequence[Reference]) -> Any:
        """The specific memory of one person, from at least one reference."""
        ...

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[Any | None]) -> Sequence[Image | None]:
        """Restored pictures, one for each crop, or ``None`` where it failed on that face.

        ``memories[i]`` ``None`` reads the generic memory alone.
        """
        ...
