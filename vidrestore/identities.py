"""Who is who: group the tracks of one person by their embeddings, and leave alone what is not sure.

A merge of two people paints the eyes of one on the other; a track that is left out is only restored without references.
So tracks join only where they are clearly alike, and a track that says little of who it is joins nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from vidrestore.errors import ConfigError
from vidrestore.geometry import eye_distance
from vidrestore.types import IdentityMargin, Track

_GLIMPSE_FACTOR: Final = 1.5
"""A short track is a person of its own only where its face comes so much closer than one that says who it is."""
Similarities = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """How alike tracks of one person are, and which tracks are left to nobody."""

    similarity_threshold: float = 0.0
    """Mean cosine, -1..1, between the tracks of two groups above which they are one person. More splits, less joins.
    0 is what the model pack was measured to need (``models/manifest.json``)."""
    unsure_band: float = 0.1
    """A short track that is less like a person than the threshold, but by no more than this, may be that person: it
    joins nobody, and is nobody's own."""
    min_eye_pixels: float = 9.0
    """A track whose eyes are hardly ever further apart, in pixels, is nobody's, however long it is. It is where faces
    begin to be restored fully (``fading.full_eye_pixels``)."""
    min_sights: int = 3
    """Nor does a track in which the face was seen in fewer frames."""
    own_person_seconds: float = 1.0
    """A track that was seldom seen, or may be somebody else's, is a person of its own from this length on."""

    def __post_init__(self) -> None:
        if not -1 <= self.similarity_threshold <= 1:
            raise ConfigError(f"identities.similarity_threshold is {self.similarity_threshold}, allowed: -1 to 1")
        if not 0 <= self.unsure_band <= 2:
            raise ConfigError(f"identities.unsure_band is {self.unsure_band}, allowed: 0 to 2")
        if self.min_sights < 1:
            raise ConfigError(f"identities.min_sights is {self.min_sights}, allowed: 1 or more")
        for name in ("min_eye_pixels", "own_person_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"identities.{name} is {getattr(self, name)}, allowed: 0 or more")


@dataclass(frozen=True, slots=True)
class Cast:
    """The people of a video."""

    people: tuple[tuple[int, ...], ...]
    """Track ids of each person, the person with the most frames first; ids rise within a person. Tracks that are in
    none of them are nobody's."""
    margin: IdentityMargin


def cluster(
    tracks: Sequence[Track],
    time_base: Fraction,
    same_person: float,
    settings: IdentitySettings | None = None,
) -> Cast:
    """The people whom ``tracks`` show.

    Average-linkage agglomeration on cosine similarity (Sokal and Michener 1958): the two most similar groups become one
    until no two are similar enough. Two tracks with a frame in common are never one person, however alike, and neither
    are groups that hold such two (the cannot-link constraint of Wagstaff and others, "Constrained k-means", ICML 2001).
    Then short groups in the unsure band of a longer one, and short tracks that do not say who they are, are left out.
    The same tracks in any order give the same people.

    Args:
        tracks: Of one video.
        time_base: Seconds of one tick of their pts.
        same_person: The threshold where ``settings`` leave it to the model pack.
        settings: How alike is alike enough.

    Raises:
        ValueError: embeddings differ in length.
    """
    chosen = settings or IdentitySettings()
    threshold = chosen.similarity_threshold or same_person
    ordered = sorted(tracks, key=lambda track: track.id)
    similarity = _similarities(ordered, [_says_who(track, chosen) for track in ordered])
    similarity[_cannot_link(ordered)] = -np.inf
    members, similarity, least_joined = _agglomerate(similarity, threshold)
    seconds = np.array([sum(_seconds(ordered[i], time_base) for i in group) for group in members])
    eyes = [max(_eyes(ordered[i]) for i in group) for group in members]
    frames = [sum(len(ordered[i].pts) for i in group) for group in members]
    sure = [
        index
        for index, group in enumerate(members)
        if (seconds[index] >= chosen.own_person_seconds and eyes[index] >= chosen.min_eye_pixels)
        or (
            all(_says_who(ordered[i], chosen) for i in group)
            and eyes[index] >= _GLIMPSE_FACTOR * chosen.min_eye_pixels
            and not _may_be_another(index, similarity, seconds, threshold - chosen.unsure_band)
        )
    ]
    sure.sort(key=lambda index: (-frames[index], members[index]))
    apart = similarity[np.ix_(sure, sure)]
    most_apart = float(apart.max()) if np.isfinite(apart).any() else None
    people = tuple(tuple(ordered[i].id for i in members[index]) for index in sure)
    return Cast(people, IdentityMargin(threshold, least_joined, most_apart))


def _agglomerate(similarity: Similarities, threshold: float) -> tuple[list[list[int]], Similarities, float | None]:
    """Groups of indices, the similarities ``(G, G)`` between them, and the least similarity at which two were joined.

    -inf in ``similarity`` ``(N, N)`` keeps two apart for good.
    """
    members = [[index] for index in range(len(similarity))]
    joins = []
    while len(members) > 1:
        kept, joined = sorted(int(i) for i in np.unravel_index(int(np.argmax(similarity)), similarity.shape))
        if similarity[kept, joined] < threshold or np.isneginf(similarity[kept, joined]):
            break
        joins.append(float(similarity[kept, joined]))
        merged = np.average(similarity[[kept, joined]], axis=0, weights=(len(members[kept]), len(members[joined])))
        similarity[kept], similarity[:, kept] = merged, merged
        similarity[kept, kept] = -np.inf
        similarity = np.delete(np.delete(similarity, joined, axis=0), joined, axis=1)
        members[kept] = sorted(members[kept] + members.pop(joined))
    return members, similarity, min(joins, default=None)


def _may_be_another(index: int, similarity: Similarities, seconds: npt.NDArray[np.float64], least: float) -> bool:
    """Whether a group is so like a longer one, or one as long before it, that it may be the same person."""
    first = (seconds > seconds[index]) | ((seconds == seconds[index]) & (np.arange(len(seconds)) < index))
    return bool(np.any(similarity[index][first] >= least))


def _says_who(track: Track, settings: IdentitySettings) -> bool:
    """Whether the embedding of ``track`` is of enough and large enough sights of its face."""
    if track.embedding is None:
        return False
    return int((track.scores > 0).sum()) >= settings.min_sights and _eyes(track) >= settings.min_eye_pixels


def _eyes(track: Track) -> float:
    """How far apart, in pixels, the eyes of ``track`` are in the nearest quarter of its sights."""
    return float(np.nanpercentile([eye_distance(landmarks) for landmarks in track.landmarks[track.scores > 0]], 75))


def _seconds(track: Track, time_base: Fraction) -> float:
    """From the first to the last frame."""
    return float((int(track.pts[-1]) - int(track.pts[0])) * time_base)


def _similarities(tracks: Sequence[Track], says_who: Sequence[bool]) -> Similarities:
    """Cosines ``(N, N)``; -inf for a track with itself and where one does not say who it is."""
    similarity = np.full((len(tracks), len(tracks)), -np.inf)
    known = [index for index, says in enumerate(says_who) if says]
    if known:
        embeddings = np.stack([np.asarray(tracks[index].embedding, dtype=np.float64) for index in known])
        embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        similarity[np.ix_(known, known)] = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity


def _cannot_link(tracks: Sequence[Track]) -> npt.NDArray[np.bool_]:
    """Which tracks ``(N, N)`` have a frame in common."""
    first = np.array([track.pts[0] for track in tracks])
    last = np.array([track.pts[-1] for track in tracks])
    together = np.zeros((len(tracks), len(tracks)), dtype=bool)
    for i, track in enumerate(tracks):
        meets = np.flatnonzero((first[i + 1 :] <= last[i]) & (last[i + 1 :] >= first[i])) + i + 1
        for j in meets.tolist():
            together[i, j] = together[j, i] = len(np.intersect1d(track.pts, tracks[j].pts)) > 0
    return together
