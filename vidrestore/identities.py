"""Who is who: group the tracks of one person by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidrestore.errors import ConfigError
from vidrestore.types import Track


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """How alike tracks of one person are."""

    similarity_threshold: float = 0.45
    """Mean cosine, -1..1, between the tracks of two groups above which they are one person. More splits, less joins."""

    def __post_init__(self) -> None:
        if not -1 <= self.similarity_threshold <= 1:
            raise ConfigError(f"identities.similarity_threshold is {self.similarity_threshold}, allowed: -1 to 1")


def cluster(tracks: Sequence[Track], settings: IdentitySettings | None = None) -> list[tuple[int, ...]]:
    """Track ids of each person, the person with the most frames first; ids rise within a person.

    Average-linkage agglomeration on cosine similarity (Sokal and Michener 1958): the two most similar groups become one
    until no two are similar enough. Two tracks with a frame in common are never one person, however alike, and neither
    are groups that hold such two. A track without an embedding is a group of its own. The same tracks in any order
    give the same groups. Raises ``ValueError`` where embeddings differ in length.
    """
    chosen = settings or IdentitySettings()
    ordered = sorted(tracks, key=lambda track: track.id)
    similarity = _similarities(ordered)
    similarity[_cannot_link(ordered)] = -np.inf
    members: list[list[int]] = [[index] for index in range(len(ordered))]
    while len(ordered) > 1:
        kept, joined = sorted(int(i) for i in np.unravel_index(int(np.argmax(similarity)), similarity.shape))
        if similarity[kept, joined] < chosen.similarity_threshold:
            break
        weights = len(members[kept]), len(members[joined])
        merged = np.average(similarity[[kept, joined]], axis=0, weights=weights)
        similarity[kept], similarity[:, kept] = merged, merged
        similarity[joined], similarity[:, joined] = -np.inf, -np.inf
        similarity[kept, kept] = -np.inf
        members[kept] += members[joined]
        members[joined] = []
    groups = [tuple(sorted(group)) for group in members if group]
    frames = {group: sum(len(ordered[index].pts) for index in group) for group in groups}
    groups.sort(key=lambda group: (-frames[group], group))
    return [tuple(ordered[index].id for index in group) for group in groups]


def _similarities(tracks: Sequence[Track]) -> npt.NDArray[np.float64]:
    """Cosines ``(N, N)``; -inf for a track with itself and where an embedding is missing."""
    similarity = np.full((len(tracks), len(tracks)), -np.inf)
    known = [index for index, track in enumerate(tracks) if track.embedding is not None]
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
