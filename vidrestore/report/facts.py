"""What a report says, as frozen values: collected in one place, drawn in another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidrestore.config import Settings
from vidrestore.types import Analysis, Identity

NOBODY = "unknown person"
"""What a face is called whose track belongs to no person."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture before and after, both encoded as JPEG, both ``width`` x ``height`` pixels."""

    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class View:
    """One face in one frame, before and after."""

    seconds: float
    track_id: int
    identity_id: int | None
    crop: Pair
    sharpness_before: float
    sharpness_after: float
    eye_pixels: float
    """Distance of the eyes in the frame."""
    change: float
    """Mean difference of both crops, in levels of 0..255."""
    factor: float | None
    """0..1: what the gate left of the face's strength; None where nobody judged it, or it was not to be restored."""
    reason: str | None
    """Why it was left as it is or restored more weakly; None where it was restored fully."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One frame before and after, and its faces."""

    seconds: float
    frame: Pair
    faces: tuple[View, ...]

    @property
    def worst_factor(self) -> float:
        """The lowest of what the gate left of its faces; 1 where it held none back."""
        return min((view.factor for view in self.faces if view.factor is not None), default=1.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """How sharp one face was at one time; ``after`` is None where only the source was looked at."""

    seconds: float
    track_id: int
    identity_id: int | None
    before: float
    after: float | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the faces of one track were left as they are, or restored more weakly, for one reason."""

    track_id: int
    start: float
    stop: float
    """Seconds of the first and the last such frame."""
    faces: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many faces came to what."""

    faces: int
    restored: int
    """Changed, the weakened ones among them; before a run, those that would be."""
    held_back: dict[str, int]
    kept: dict[str, int]
    frames: int
    gate_factor: float | None = None
    seconds: float | None = None
    """How long the run took; None where there was none."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """All that a report says."""

    kind: Literal["run", "finished", "glimpses"]
    """Of a run that just ended, of a finished output that was read, or of a few frames restored for the report."""
    source: str
    output: str | None
    """File names, as they are."""
    made: str
    analysis: Analysis
    settings: Settings
    outcome: Outcome
    scenes: tuple[Scene, ...]
    views: tuple[View, ...]
    """Faces shown large, best-known people first."""
    samples: tuple[Sample, ...]
    stretches: tuple[Stretch, ...]
    weights: str
    """Name and licence of the restorer."""
    device: str
    warnings: tuple[str, ...]

    def person(self, identity_id: int | None) -> Identity | None:
        """The person with that id; None where there is none."""
        return next((person for person in self.analysis.identities if person.id == identity_id), None)

    def name(self, identity_id: int | None) -> str:
        """What to call the person with that id."""
        person = self.person(identity_id)
        return NOBODY if person is None else person.name
