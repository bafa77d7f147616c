from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from faces import placed

from vidrestore.errors import ConfigError
from vidrestore.identities import Cast, IdentitySettings, cluster
from vidrestore.types import Track


def person(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, 256)


def alike(seed: int, other: int, cosine: float) -> np.ndarray:
    """An embedding with this cosine to that of ``person(seed)``."""
    one = person(seed) / np.linalg.norm(person(seed))
    away = person(other) - (person(other) @ one) * one
    return cosine * one + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)


def cast_of(tracks: Sequence[Track], **settings: float) -> Cast:
    """The people, by a threshold of 0.45 and 10 frames a second."""
    return cluster(tracks, Fraction(1, 10), 0.45, IdentitySettings(**settings))  # type: ignore[arg-type]


def people(tracks: Sequence[Track], **settings: float) -> list[tuple[int, ...]]:
    return list(cast_of(tracks, **settings).people)


def track(track_id: int, embedding: np.ndarray | None, first: int, last: int, eyes: float = 30.0) -> Track:
    count = last - first + 1
    if embedding is not None:
        embedding = embedding / np.linalg.norm(embedding)
    landmarks = np.tile(placed(50, 50, eyes), (count, 1, 1))
    return Track(track_id, np.arange(first, last + 1), np.zeros((count, 4)), landmarks, np.ones(count), embedding)


def cast(count: int = 24, number: int = 4, noise: float = 0.6) -> tuple[list[Track], list[set[int]]]:
    """Tracks one after the other, and who they are; two people alternate in every pair of overlapping tracks."""
    rng = np.random.default_rng(0)
    tracks, groups = [], [set() for _ in range(number)]
    for index in range(count):
        who = index % number
        embedding = person(who) + noise * rng.normal(0, 1, 256)
        tracks.append(track(index, embedding, index * 10, index * 10 + 12))
        groups[who].add(index)
    return tracks, groups


def test_tracks_of_one_person_come_together() -> None:
    tracks, groups = cast()
    assert sorted(map(sorted, groups)) == sorted(map(list, people(tracks)))


def test_the_order_of_the_tracks_does_not_matter() -> None:
    tracks, _ = cast(noise=1.5)
    expected = people(tracks)
    rng = np.random.default_rng(1)
    for _ in range(5):
        assert people([tracks[i] for i in rng.permutation(len(tracks))]) == expected


def test_the_person_with_the_most_frames_comes_first() -> None:
    tracks = [track(0, person(0), 0, 9), track(1, person(1), 20, 99), track(2, person(0), 100, 110)]
    assert people(tracks) == [(1,), (0, 2)]


def test_twins_in_one_frame_are_two_people() -> None:
    assert people([track(0, person(0), 0, 50), track(1, person(0), 50, 90)]) == [(0,), (1,)]
    assert people([track(0, person(0), 0, 49), track(1, person(0), 50, 90)]) == [(0, 1)]


def test_the_constraint_is_kept_through_merges() -> None:
    """The third track is like both of two that were seen together; it may join one of them and never bridge them."""
    tracks = [track(0, person(0), 0, 50), track(1, person(0), 10, 60), track(2, person(0), 100, 120)]
    groups = people(tracks, similarity_threshold=-1)
    assert sorted(len(group) for group in groups) == [1, 2]
    assert not any({0, 1} <= set(group) for group in groups)


def test_no_group_ever_holds_two_tracks_of_one_frame() -> None:
    rng = np.random.default_rng(2)
    tracks = []
    for index in range(60):
        first = int(rng.integers(0, 500))
        tracks.append(track(index, person(int(rng.integers(0, 3))), first, first + int(rng.integers(1, 60))))
    for group in people(tracks, similarity_threshold=-1):
        frames = np.concatenate([tracks[i].pts for i in group])
        assert len(frames) == len(np.unique(frames))


@pytest.mark.parametrize(("last", "expected"), [(28, [(0, 2)]), (30, [(0, 2), (1,)])])
def test_a_track_without_embedding_is_somebody_only_if_it_is_long(last: int, expected: list[tuple[int, ...]]) -> None:
    tracks = [track(0, person(0), 0, 15), track(1, None, 20, last), track(2, person(0), 40, 55)]
    assert people(tracks, similarity_threshold=-1) == expected


@pytest.mark.parametrize(
    ("poor", "joins"),
    [
        (track(1, person(0), 50, 55, eyes=9.1), True),
        (track(1, person(0), 50, 55, eyes=7.9), False),
        (track(1, person(0), 50, 52), True),
        (track(1, person(0), 50, 51), False),
    ],
    ids=["large enough", "too small", "seen often enough", "seen too rarely"],
)
def test_an_embedding_of_few_or_small_sights_says_nothing(poor: Track, joins: bool) -> None:
    assert people([track(0, person(0), 0, 40), poor]) == ([(0, 1)] if joins else [(0,)])


@pytest.mark.parametrize(
    ("cosine", "last", "expected"),
    [
        (0.46, 58, [(0, 1)]),
        (0.44, 58, [(0,)]),
        (0.36, 58, [(0,)]),
        (0.34, 58, [(0,), (1,)]),
        (0.44, 60, [(0,), (1,)]),
    ],
    ids=["joins", "unsure", "still unsure", "another person", "long enough to be somebody"],
)
def test_a_short_track_in_the_unsure_band_is_nobodys(cosine: float, last: int, expected: list[tuple[int, ...]]) -> None:
    assert people([track(0, person(0), 0, 40), track(1, alike(0, 1, cosine), 50, last)]) == expected


def test_a_short_track_that_shares_a_frame_with_its_double_is_somebody() -> None:
    assert people([track(0, person(0), 0, 40), track(1, alike(0, 1, 0.42), 40, 45)]) == [(0,), (1,)]


def test_a_face_far_away_is_nobodys_however_long_it_is_there() -> None:
    assert people([track(0, person(0), 0, 500, eyes=8.0)]) == []
    assert people([track(0, person(0), 0, 500, eyes=10.0)]) == [(0,)]


def test_a_glimpse_of_a_far_face_joins_a_person_and_makes_none() -> None:
    near, glimpse = track(0, person(0), 0, 40), track(1, person(0), 50, 55, eyes=10.0)
    assert people([near, glimpse]) == [(0, 1)]
    assert people([near, replace(glimpse, embedding=person(1) / np.linalg.norm(person(1)))]) == [(0,)]


def test_the_margin_tells_the_least_sure_join_and_the_nearest_strangers() -> None:
    tracks = [
        track(0, person(0), 0, 20),
        track(1, alike(0, 1, 0.6), 30, 50),
        track(2, person(2), 60, 80),
        track(3, alike(2, 3, 0.4), 90, 110),
    ]
    margin = cast_of(tracks).margin
    assert margin.threshold == 0.45
    assert margin.least_joined == pytest.approx(0.6, abs=1e-4)
    assert margin.most_apart == pytest.approx(0.4, abs=1e-4)
    alone = cast_of(tracks[:1], similarity_threshold=0.3).margin
    assert (alone.threshold, alone.least_joined, alone.most_apart) == (0.3, None, None)


def test_the_threshold_of_the_pack_is_used_where_none_is_set() -> None:
    tracks = [track(0, person(0), 0, 40), track(1, alike(0, 1, 0.5), 50, 90)]
    assert len(cluster(tracks, Fraction(1, 10), 0.55).people) == 2
    assert len(cluster(tracks, Fraction(1, 10), 0.45).people) == 1


def test_the_threshold_decides() -> None:
    tracks = [track(0, person(0), 0, 9), track(1, person(0) + person(1), 20, 29)]  # a cosine of about 0.7
    assert len(people(tracks, similarity_threshold=0.6)) == 1
    assert len(people(tracks, similarity_threshold=0.8, unsure_band=0)) == 2
    with pytest.raises(ConfigError, match=r"identities\.similarity_threshold is 2"):
        IdentitySettings(similarity_threshold=2)


def test_none_and_one() -> None:
    assert people([]) == []
    assert people([track(5, person(0), 0, 3)]) == [(5,)]


@pytest.mark.parametrize("wrong", [{"unsure_band": -0.1}, {"min_sights": 0}, {"own_person_seconds": -1}])
def test_settings_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"identities\.{next(iter(wrong))} is .* allowed"):
        IdentitySettings(**wrong)  # type: ignore[arg-type]
