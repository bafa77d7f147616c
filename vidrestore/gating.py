"""A gate against harm: where a restored face is further from the person than its input was, it is held back.

Every restored face is judged against what it was restored from, and gets a factor 0..1 for its weight:

* identity: its embedding must not be further from the person's references than that of the input. Where the person is
  unknown, the restored face must still be like its own input;
* components: eyes and mouth must be where the input has them. Seen through a blur, the restored picture has to look
  like its input around each of them. Landmark networks are not asked: they know faces so well that a mouth that moves
  by a third of the eye distance moves the compact network's landmarks by a tenth of that. A picture without a face
  fails here, too.

Faces turned too far are weakened before, from the smoothed landmarks of their track (``FadingSettings``), and small
ones likewise; the gate looks at what the restoration did and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vidrestore.errors import ConfigError
from vidrestore.geometry import eye_distance
from vidrestore.types import Detector, FaceCrop, Floats, Identity, Image

LESS_LIKE_PERSON: Final = "restoring made it less like the person"
UNLIKE_INPUT: Final = "restoring made it another face"
COMPONENTS_MOVED: Final = "restoring moved eyes or mouth"

MOST_WAITING: Final = 32
"""Frames that wait for what comes after them, at most; above 128 frames a second the default looks less far ahead."""
_STRANGER: Final = 0.3
_SAME: Final = 0.6
"""Similarity of a restored face and its input above which it is the same face; below ``_STRANGER`` it is another.

Of two people it is below 0.32 in 95 of 100 pairs of portraits, of a face and its restoration above 0.97.
"""
_COMPONENTS: Final = (slice(36, 42), slice(42, 48), slice(48, 68))
"""Left eye, right eye and mouth in 68 landmarks."""
_SIDE: Final = 128
"""Pixels of the square in which components are compared; what is finer is blurred away."""
_BLUR: Final = 0.1
"""Sigma of the blur in eye distances. It hides what restoring a face is meant to change."""
_FURTHER_BLURS: Final = (1.0, 1.5, 2.0)
"""By how much the restored picture is blurred more: the input is blurred already, and nobody knows how much."""
_MARGIN: Final = 0.15
"""What is looked at around a component, in eye distances."""
_NOISE: Final = 4.0
"""Variance in levels that is no structure."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """A restored face that is further from the person than the input was is weakened, down to the input itself."""

    enabled: bool = True
    """Whether restored faces are judged; without, the strength is the same whatever came out."""
    full_identity_fall: float = 0.01
    """Up to this fall of the similarity to the person, which may be noise, faces are restored fully. Similarities are
    cosines of the model pack's embeddings; this and the next were measured with ``compact``."""
    max_identity_fall: float = 0.04
    """From this fall on, faces stay as they are."""
    full_disagreement: float = 0.1
    """Up to this disagreement of eyes and mouth with the input, 0 to 1, faces are restored fully."""
    max_disagreement: float = 0.3
    """From this disagreement on, faces stay as they are. A mouth that moved by a third of the eye distance has about as
    much; of a face and its restoration by ``compact`` it is below 0.03."""
    smoothing_seconds: float = 0.25
    """Time in which a face may go from fully restored to its input and back; as far ahead frames are looked at."""

    def __post_init__(self) -> None:
        for name, limit in (("identity_fall", 2.0), ("disagreement", 1.0)):
            full, most = getattr(self, f"full_{name}"), getattr(self, f"max_{name}")
            if not 0 <= full <= limit:
                raise ConfigError(f"gate.full_{name} is {full}, allowed: 0 to {limit:g}")
            if not full < most <= limit:
                raise ConfigError(f"gate.max_{name} is {most}, allowed: above gate.full_{name}, to {limit:g}")
        if not 0 <= self.smoothing_seconds <= 1:
            raise ConfigError(f"gate.smoothing_seconds is {self.smoothing_seconds}, allowed: 0 to 1")


def ramp(value: float, low: float, high: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    if high <= low:
        return float(value >= high)
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a restored face may count for."""

    factor: float
    """0..1; 0 leaves the input."""
    reason: str | None = None
    """Why it is less than 1."""


class Gate:
    """Judges restored faces. Knows the people, and nothing of the faces judged before."""

    def __init__(self, detector: Detector, identities: Sequence[Identity], settings: GateSettings) -> None:
        self.settings = settings
        self.warnings: list[str] = []
        """What the user should know of how faces were judged."""
        self._detector = detector
        self._people = {identity.id: self._person(identity) for identity in identities if identity.enabled}

    def judge(self, crop: FaceCrop, restored: Image) -> Verdict:
        """What ``restored`` (S, S, 3) of ``crop`` may count for: the stricter one of identity and components."""
        identity, components = self._of_identity(crop, restored), self._of_components(crop, restored)
        return identity if identity.factor < components.factor else components

    def _person(self, identity: Identity) -> Floats | None:
        """Mean embedding (D,) of the references, which are sharper than the rest; without them, of the tracks."""
        found = [self._detector.embed(reference.image, reference.landmarks) for reference in identity.references]
        known = [embedding for embedding in found if embedding is not None]
        if not known:
            return identity.embedding
        mean = np.mean(known, axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), dtype=np.float32)

    def _of_identity(self, crop: FaceCrop, restored: Image) -> Verdict:
        before = self._detector.embed(crop.image, crop.landmarks)
        after = self._detector.embed(restored, crop.landmarks)
        if before is None or after is None:
            if not self.warnings:
                self.warnings.append(
                    f"the faces model {self._detector.name} gives no embeddings, so restored faces were held back for "
                    "moved eyes or mouths, but not for looking less like the person"
                )
            return Verdict(1.0)
        person = None if crop.face.identity_id is None else self._people.get(crop.face.identity_id)
        if person is None:
            return _verdict(ramp(float(before @ after), _STRANGER, _SAME), UNLIKE_INPUT)
        fall = float(person @ before) - float(person @ after)
        full, most = self.settings.full_identity_fall, self.settings.max_identity_fall
        return _verdict(1 - ramp(fall, full, most), LESS_LIKE_PERSON)

    def _of_components(self, crop: FaceCrop, restored: Image) -> Verdict:
        disagreement = component_disagreement(crop, restored)
        full, most = self.settings.full_disagreement, self.settings.max_disagreement
        return _verdict(1 - ramp(disagreement, full, most), COMPONENTS_MOVED)


def _verdict(factor: float, reason: str) -> Verdict:
    return Verdict(factor, reason if factor < 1 else None)


def component_disagreement(crop: FaceCrop, restored: Image) -> float:
    """How little ``restored`` (S, S, 3) looks like ``crop`` around the worst of eyes and mouth, seen through a blur.

    0 where they are the same, 1 and more where one has nothing of the other. It is one minus the correlation of the
    two, which does not mind that a restored face has more contrast, but does if it has less than half of it. The input
    is a blurred picture of the truth, so ``restored`` is blurred by several widths, and the best counts.
    """
    landmarks = crop.landmarks * np.float32(_SIDE / crop.image.shape[0])
    unit = max(eye_distance(landmarks), 1.0)
    sigma = _BLUR * unit
    before = _blurred(_small_grey(crop.image), sigma)
    after = _small_grey(restored)
    candidates = [_blurred(after, factor * sigma) for factor in _FURTHER_BLURS]
    agreements = []
    for component in _COMPONENTS:
        part = _around(landmarks[component], _MARGIN * unit)
        agreements.append(max(_agreement(before[part], picture[part]) for picture in candidates))
    return 1 - min(agreements)


def _small_grey(image: Image) -> Floats:
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _blurred(picture: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)


def _around(points: Floats, margin: float) -> tuple[slice, slice]:
    """Rows and columns of the small square around ``points`` (P, 2); never empty."""
    left, top = np.clip(np.floor(points.min(axis=0) - margin), 0, _SIDE - 2).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0) + margin) + 1, (left + 2, top + 2), _SIDE).astype(int)
    return slice(top, bottom), slice(left, right)


def _agreement(before: Floats, after: Floats) -> float:
    """Correlation of two pictures (h, w), -1..1; where both are flat, 1."""
    common = float(np.mean((before - before.mean()) * (after - after.mean())))
    contrast = float(before.std())
    return (common + _NOISE) / (contrast * max(float(after.std()), contrast / 2) + _NOISE)


class SteadyVerdicts:
    """Verdicts on the faces of consecutive frames, made steady, so that no face flickers.

    A face's factor is the mean, over ``smoothing_seconds``, of the lowest one within half of that time. So it changes
    by no more than one in ``smoothing_seconds``, and is never above what the face's own frame allows. That needs frames
    ``smoothing_seconds`` ahead; of the past as much is kept, whatever the length of the video.
    """

    def __init__(self, smoothing_seconds: float) -> None:
        self._reach = smoothing_seconds / 2
        self._recent: deque[tuple[float, Mapping[int, Verdict]]] = deque(maxlen=2 * MOST_WAITING + 1)
        self._ended = False

    def add(self, seconds: float, verdicts: Mapping[int, Verdict]) -> None:
        """The verdicts on the next frame, by track id; ``seconds`` rise."""
        self._recent.append((seconds, verdicts))

    def end(self) -> None:
        """There are no more frames."""
        self._ended = True

    def is_settled(self, seconds: float) -> bool:
        """Whether enough is known of what comes after the frame at ``seconds``."""
        return self._ended or self._recent[-1][0] - seconds >= 2 * self._reach

    def at(self, seconds: float, track_id: int) -> Verdict | None:
        """The steady verdict on the face of ``track_id`` in a frame that was added; None where it was not judged.

        Before the frame is settled, its factor is steadied over the shorter time that is known.
        """
        rows = [(when, seen[track_id]) for when, seen in self._recent if track_id in seen]
        times, factors = np.array([when for when, _ in rows]), np.array([verdict.factor for _, verdict in rows])
        if seconds not in times:
            return None
        reach = self._reach if self._ended else min(self._reach, (self._recent[-1][0] - seconds) / 2)
        near = np.abs(times[:, None] - times) <= reach
        window = near[times == seconds][0]
        lowest = np.where(near, factors, 1.0).min(axis=1)
        deciding = int(np.argmin(np.where(near[window].any(axis=0), factors, 2.0)))
        return Verdict(float(lowest[window].mean()), rows[deciding][1].reason)
