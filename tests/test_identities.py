from __future__ import annotations

import numpy as np
import pytest

from vidrestore.errors import ConfigError
from vidrestore.identities import IdentitySettings, cluster
from vidrestore.types import Track


def person(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, 256)


def track(track_id: int, embedding: np.ndarray | None, first: int, last: int) -> Track:
    count = last - first + 1
    if embedding is not None:
        embedding = embedding / np.linalg.norm(embedding)
    landmarks = np.zeros((count, 68, 2))
    return Track(track_id, np.arange(first, last + 1), np.zeros((count, 4)), landmarks, np.ones(count), embedding)


def cast(count: int = 24, people: int = 4, noise: float = 0.6) -> tuple[list[Track], list[set[int]]]:
    """Tracks one after the other, and who they are; two people alternate in every pair of overlapping tracks."""
    rng = np.random.default_rng(0)
    tracks, groups = [], [set() for _ in range(people)]
    for index in range(count):
        who = index % people
        embedding = person(who) + noise * rng.normal(0, 1, 256)
        tracks.append(track(index, embedding, index * 10, index * 10 + 12))
        groups[who].add(index)
    return tracks, groups


def test_tracks_of_one_person_come_together() -> None:
    tracks, groups = cast()
    assert sorted(map(sorted, groups)) == sorted(map(list, cluster(tracks)))


def test_the_order_of_the_tracks_does_not_matter() -> None:
    tracks, _ = cast(noise=1.5)
    expected = cluster(tracks)
    rng = np.random.default_rng(1)
    for _ in range(5):
        assert cluster([tracks[i] for i in rng.permutation(len(tracks))]) == expected


def test_the_person_with_the_most_frames_comes_first() -> None:
    tracks = [track(0, person(0), 0, 9), track(1, person(1), 20, 99), track(2, person(0), 100, 110)]
    assert cluster(tracks) == [(1,), (0, 2)]


def test_twins_in_one_frame_are_two_people() -> None:
    assert cluster([track(0, person(0), 0, 50), track(1, person(0), 50, 90)]) == [(0,), (1,)]
    assert cluster([track(0, person(0), 0, 49), track(1, person(0), 50, 90)]) == [(0, 1)]


def test_the_constraint_is_kept_through_merges() -> None:
    """The third track is like both of two that were seen together; it may join one of them and never bridge them."""
    tracks = [track(0, person(0), 0, 50), track(1, person(0), 10, 60), track(2, person(0), 100, 120)]
    groups = cluster(tracks, IdentitySettings(similarity_threshold=-1))
    assert sorted(len(group) for group in groups) == [1, 2]
    assert not any({0, 1} <= set(group) for group in groups)


def test_no_group_ever_holds_two_tracks_of_one_frame() -> None:
    rng = np.random.default_rng(2)
    tracks = []
    for index in range(60):
        first = int(rng.integers(0, 500))
        tracks.append(track(index, person(int(rng.integers(0, 3))), first, first + int(rng.integers(1, 60))))
    for group in cluster(tracks, IdentitySettings(similarity_threshold=-1)):
        frames = np.concatenate([tracks[i].pts for i in group])
        assert len(frames) == len(np.unique(frames))


def test_tracks_without_embedding_stay_alone() -> None:
    tracks = [track(0, person(0), 0, 9), track(1, None, 20, 29), track(2, person(0), 40, 49), track(3, None, 60, 69)]
    assert cluster(tracks, IdentitySettings(similarity_threshold=-1)) == [(0, 2), (1,), (3,)]


def test_the_threshold_decides() -> None:
    tracks = [track(0, person(0), 0, 9), track(1, person(0) + person(1), 20, 29)]  # a cosine of about 0.7
    assert len(cluster(tracks, IdentitySettings(similarity_threshold=0.6))) == 1
    assert len(cluster(tracks, IdentitySettings(similarity_threshold=0.8))) == 2
    with pytest.raises(ConfigError, match=r"identities\.similarity_threshold is 2"):
        IdentitySettings(similarity_threshold=2)


def test_none_and_one() -> None:
    assert cluster([]) == []
    assert cluster([track(5, person(0), 0, 3)]) == [(5,)]
