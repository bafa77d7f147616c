from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidrestore.errors import ConfigError
from vidrestore.geometry import overlap
from vidrestore.tracking import Tracker, TrackingSettings, extend
from vidrestore.types import Detection, Track

CLIPS = Path(__file__).parents[2] / "shared" / "clips"
RATE = 25


def person(seed: int) -> np.ndarray:
    embedding = np.random.default_rng(seed).normal(0, 1, 128)
    return (embedding / np.linalg.norm(embedding)).astype(np.float32)


def seen(
    x: float, y: float, *, size: float = 80, who: np.ndarray | None = None, score: float = 0.9, jitter: int = 0
) -> Detection:
    """A face about (x, y), ``size`` pixels high; ``jitter`` seeds a few pixels of detector noise."""
    rng = np.random.default_rng(jitter)
    centre = np.array([x, y]) + (rng.normal(0, size / 50, 2) if jitter else 0)
    half = np.array([0.4, 0.5]) * size
    keypoints = centre + size * np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.25], [0.15, 0.25]])
    landmarks = centre + np.random.default_rng(11).uniform(-0.4, 0.4, (68, 2)) * size
    embedding = None
    if who is not None:
        embedding = who + rng.normal(0, 0.03, who.shape)
        embedding = embedding / np.linalg.norm(embedding)
    return Detection(np.concatenate([centre - half, centre + half]), score, keypoints, landmarks, embedding)


def follow(tracker: Tracker, frames: dict[int, list[Detection]]) -> dict[int, tuple[int | None, ...]]:
    return {pts: tracker.update(pts, pts / RATE, detections) for pts, detections in frames.items()}


def test_one_face_is_one_track_with_every_frame() -> None:
    tracker = Tracker()
    frames = {pts: [seen(100 + 5 * pts, 100, jitter=pts + 1)] for pts in range(50)}
    assert set(follow(tracker, frames).values()) == {(0,)}
    (track,) = tracker.finish()
    assert track.pts.tolist() == list(range(50))
    assert np.array_equal(track.boxes[7], frames[7][0].box)
    assert np.array_equal(track.landmarks[7], frames[7][0].landmarks)
    assert np.allclose(track.scores, 0.9)
    assert track.embedding is None
    assert tracker.finish() == []


def test_a_gap_is_filled_with_even_boxes_and_no_landmarks() -> None:
    tracker = Tracker()
    frames = {pts: [] if 20 <= pts < 35 else [seen(100 + 2 * pts, 100)] for pts in range(60)}
    frames |= {pts: [] for pts in range(60, 80)}
    follow(tracker, frames)
    (track,) = tracker.finish()
    assert track.pts.tolist() == list(range(60))  # the trailing gap is gone
    assert np.all(track.scores[20:35] == 0)
    assert np.all(np.isnan(track.landmarks[20:35]))
    assert not np.any(np.isnan(track.landmarks[:20]))
    centres = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert np.allclose(centres, 100 + 2 * np.arange(60), atol=1e-3)


def test_a_face_away_for_too_long_comes_back_as_another_track() -> None:
    settings = TrackingSettings(max_gap_seconds=0.5)
    tracker = Tracker(settings)
    follow(tracker, {pts: [seen(100, 100)] if pts < 20 or pts >= 40 else [] for pts in range(60)})
    assert [(track.pts[0], track.pts[-1]) for track in tracker.finish()] == [(0, 19), (40, 59)]


@pytest.mark.parametrize("rate", [5, 25, 120])
def test_the_gap_is_counted_in_seconds_and_not_in_frames(rate: int) -> None:
    tracker = Tracker(TrackingSettings(max_gap_seconds=1.0))
    for pts in range(4 * rate):
        tracker.update(pts, pts / rate, [] if rate <= pts < 1.8 * rate else [seen(100, 100)])
    (track,) = tracker.finish()
    assert len(track.pts) == 4 * rate


def test_the_prediction_follows_real_time() -> None:
    tracker = Tracker()
    times = np.cumsum(np.random.default_rng(0).choice([0.02, 0.04, 0.12], 40))
    for pts, seconds in enumerate(times):
        tracker.update(pts, float(seconds), [seen(100 + 120 * seconds, 200)])
    ahead = tracker.predict(float(times[-1]) + 0.12)[0]
    assert overlap(ahead[None], seen(100 + 120 * (times[-1] + 0.12), 200).box[None])[0, 0] > 0.8


def test_people_who_cross_keep_their_ids_by_appearance() -> None:
    first, second = person(1), person(2)
    tracker = Tracker()
    owners: dict[int, set[int | None]] = {1: set(), 2: set()}
    for pts in range(100):
        faces = [(1, seen(100 + 4 * pts, 200, who=first, jitter=pts + 1))]
        other = (2, seen(500 - 4 * pts, 205, who=second, jitter=pts + 1000))
        if not 44 <= pts <= 56:  # the first person covers the second
            faces.append(other)
        if pts % 2:
            faces.reverse()
        for (who, _), track in zip(faces, tracker.update(pts, pts / RATE, [face for _, face in faces]), strict=True):
            owners[who].add(track)
    assert [len(ids) for ids in owners.values()] == [1, 1]
    assert owners[1] != owners[2]
    tracks = {track.id: track for track in tracker.finish()}
    assert float(tracks[owners[1].pop() or 0].embedding @ first) > 0.95


def test_people_who_bounce_off_each_other_keep_their_ids() -> None:
    """Motion alone would let them pass through each other."""
    first, second = person(3), person(4)
    tracker = Tracker()
    for pts in range(80):
        away = 25 + 4 * abs(pts - 40)
        ids = tracker.update(pts, pts / RATE, [seen(300 - away, 200, who=first), seen(300 + away, 200, who=second)])
        assert ids == (0, 1)


def test_an_unsure_detection_continues_a_track_but_begins_none() -> None:
    tracker = Tracker()
    assert tracker.update(0, 0.0, [seen(100, 100), seen(400, 100, score=0.3)]) == (0, None)
    assert tracker.update(1, 0.04, [seen(101, 100, score=0.3)]) == (0,)
    assert tracker.update(2, 0.08, [seen(101, 100, score=0.1)]) == (None,)


def test_a_sure_detection_wins_over_an_unsure_one_in_a_better_place() -> None:
    tracker = Tracker()
    tracker.update(0, 0.0, [seen(100, 100)])
    assert tracker.update(1, 0.04, [seen(100, 100, score=0.3), seen(112, 100, score=0.9)]) == (None, 0)


def test_a_face_of_another_size_or_elsewhere_begins_a_track() -> None:
    tracker = Tracker()
    tracker.update(0, 0.0, [seen(100, 100, size=80)])
    assert tracker.update(1, 0.04, [seen(100, 100, size=300)]) == (1,)
    assert tracker.update(2, 0.08, [seen(800, 100, size=80)]) == (2,)


def test_a_cut_ends_all_tracks() -> None:
    tracker = Tracker()
    follow(tracker, {pts: [seen(100, 100)] for pts in range(20)})
    tracker.cut()
    assert tracker.predict(0.8) == {}
    assert set(follow(tracker, {pts: [seen(100, 100)] for pts in range(20, 40)}).values()) == {(1,)}
    assert [(track.pts[0], track.pts[-1]) for track in tracker.finish()] == [(0, 19), (20, 39)]


def test_a_second_look_continues_a_track_for_a_while() -> None:
    tracker = Tracker(TrackingSettings(second_look_seconds=0.4))
    follow(tracker, {pts: [seen(100 + pts, 100)] for pts in range(25)})
    confirmed = 0
    for pts in range(25, 60):
        tracker.update(pts, pts / RATE, [])
        for track_id, box in tracker.missing().items():
            assert overlap(box[None], seen(100 + pts, 100).box[None])[0, 0] > 0.7
            assert tracker.confirm(track_id, seen(100 + pts, 100, score=0.5))
            assert tracker.missing() == {}
            confirmed += 1
    assert confirmed == 10
    (track,) = tracker.finish()
    assert len(track.pts) == 25 + confirmed
    assert np.allclose(track.scores[25:], 0.5)


def test_a_second_look_elsewhere_or_at_another_face_is_refused() -> None:
    tracker = Tracker()
    follow(tracker, {pts: [seen(100, 100), seen(190, 100)] for pts in range(10)})
    tracker.update(10, 0.4, [seen(190, 100)])
    assert list(tracker.missing()) == [0]
    assert not tracker.confirm(0, seen(300, 300))
    assert not tracker.confirm(0, seen(150, 100))
    assert list(tracker.missing()) == [0]
    with pytest.raises(KeyError):
        tracker.confirm(1, seen(190, 100))


def test_short_unsure_and_flickering_tracks_are_dropped() -> None:
    tracker = Tracker()
    frames = {pts: [seen(100, 100)] for pts in range(100)}
    frames[10].append(seen(600, 100))
    for pts in range(100):
        frames[pts].append(seen(100, 600, score=0.55 if pts == 0 else 0.25))
    for pts in range(0, 100, 40):
        frames[pts].append(seen(600, 600))
    follow(tracker, frames)
    assert [track.id for track in tracker.finish()] == [0]


def test_a_shot_of_one_frame_keeps_its_faces() -> None:
    tracker = Tracker()
    follow(tracker, {0: [seen(100, 100)]})
    tracker.cut()
    follow(tracker, {pts: [seen(100, 100)] for pts in range(1, 3)})
    assert [track.pts.tolist() for track in tracker.finish()] == [[0], [1, 2]]


def test_the_embedding_comes_from_the_best_frames() -> None:
    good, poor = person(5), person(6)
    tracker = Tracker()
    for pts in range(240):
        clear = pts < 120
        face = seen(100, 100, who=good if clear else poor, score=0.95 if clear else 0.5)
        assert tracker.update(pts, pts / RATE, [face]) == (0,)
    (track,) = tracker.finish()
    assert track.embedding is not None
    assert float(np.linalg.norm(track.embedding)) == pytest.approx(1, abs=1e-5)
    assert float(track.embedding @ good) > 0.94


def test_tiny_faces_have_no_embedding() -> None:
    tracker = Tracker()
    follow(tracker, {pts: [seen(100, 100, size=12, who=person(7))] for pts in range(20)})
    assert tracker.finish()[0].embedding is None


def ends(tracker: Tracker) -> list[tuple[int, int]]:
    return [(int(track.pts[0]), int(track.pts[-1])) for track in tracker.finish()]


def lost_and_found(tracker: Tracker, back: int, *, x: float = 430, who: int = 1, size: float = 80) -> list[tuple]:
    """A face that walks right, is hidden after frame 29, and is found at ``x`` in frame ``back``: its tracks' ends."""
    first, second = person(1), person(who)
    frames = {pts: [seen(100 + 2 * pts, 200, who=first, jitter=pts + 1)] for pts in range(30)}
    frames |= {pts: [] for pts in range(30, back)}
    for pts in range(back, back + 20):
        frames[pts] = [seen(x, 200, who=second, size=size, jitter=pts + 1)]
    follow(tracker, frames)
    return ends(tracker)


@pytest.mark.parametrize(
    ("arguments", "tracks"),
    [
        ({"back": 55}, 1),
        ({"back": 79}, 1),
        ({"back": 81}, 2),
        ({"back": 55, "who": 2}, 2),
        ({"back": 55, "x": 900}, 2),
        ({"back": 55, "size": 200}, 2),
    ],
    ids=["one second away", "two seconds", "longer", "somebody else", "too far away", "another size"],
)
def test_a_face_that_was_lost_and_comes_back_is_one_track(arguments: dict[str, float], tracks: int) -> None:
    """A prediction alone loses it: with a detector's eyes shut it expects the face elsewhere."""
    assert len(lost_and_found(Tracker(), **arguments)) == tracks  # type: ignore[arg-type]


def test_joined_tracks_keep_one_id_and_every_frame() -> None:
    tracker = Tracker(TrackingSettings(max_step_face_sizes=0.1, min_overlap=0.9))
    assert lost_and_found(tracker, 55, x=300) == [(0, 74)]
    assert tracker.owner(1) == tracker.owner(0) == 0


def test_two_faces_of_one_frame_are_never_joined() -> None:
    tracker = Tracker()
    twin = person(1)
    frames = {pts: [seen(100, 200, who=twin)] for pts in range(30)}
    frames |= {pts: [*([frames[20][0]] if pts < 30 else []), seen(190, 200, who=twin)] for pts in range(20, 60)}
    follow(tracker, frames)
    assert len(ends(tracker)) == 2


@pytest.mark.parametrize(("x", "who", "tracks"), [(100, 1, 1), (160, 1, 2), (100, 2, 2)])
def test_a_face_in_two_boxes_in_turn_is_one_track(x: float, who: int, tracks: int) -> None:
    """The detector draws a blurred face now large and now small, and once both; twins and strangers stay two."""
    large, small = seen(100, 200, who=person(1), size=100), seen(x, 200, who=person(who), size=62)
    frames = {pts: [large if pts // 10 % 2 else small] for pts in range(60)}
    frames[35] = [large, small]
    tracker = Tracker(TrackingSettings(max_size_ratio=1.5))
    follow(tracker, frames)
    assert len(ends(tracker)) == tracks


def test_a_late_cut_takes_back_what_followed_it() -> None:
    """A dissolve is known when it is over; the rows since its middle show the next shot."""
    old, new = person(1), person(2)
    tracker = Tracker()
    follow(tracker, {pts: [seen(100, 100, who=old if pts < 25 else new)] for pts in range(40)})
    assert tracker.cut(before=20) == ()
    (track,) = tracker.finish()
    assert track.pts.tolist() == list(range(20))
    assert float(track.embedding @ old) > 0.94


def test_a_track_that_began_after_a_late_cut_is_dropped() -> None:
    tracker = Tracker()
    frames = {pts: [seen(100, 100)] for pts in range(40)}
    for pts in range(30, 40):
        frames[pts].append(seen(400, 100))
    follow(tracker, frames)
    assert tracker.cut(before=25) == (1,)
    assert ends(tracker) == [(0, 24)]


def test_the_last_sight_is_that_of_the_frame_before() -> None:
    tracker = Tracker()
    follow(tracker, {pts: [seen(100 + pts, 100)] for pts in range(10)})
    assert tracker.last_seen(0) is not None
    tracker.update(10, 0.4, [])
    np.testing.assert_allclose(tracker.last_seen(0).box, seen(109, 100).box)
    tracker.update(11, 0.44, [])
    assert tracker.last_seen(0) is None
    assert tracker.last_seen(7) is None


@pytest.mark.parametrize(
    ("size", "score", "kept"),
    [(100, 0.5, 1), (100, 0.43, 0), (20, 0.7, 0), (20, 0.75, 1), (48, 0.64, 0), (60, 0.64, 1), (68, 0.5, 1)],
)
def test_the_smaller_a_face_the_surer_it_must_be(size: float, score: float, kept: int) -> None:
    tracker = Tracker()
    follow(tracker, {pts: [seen(200, 200, size=size, score=score)] for pts in range(20)})
    assert len(tracker.finish()) == kept


def test_extend_adds_rows_and_keeps_the_surer_ones() -> None:
    def track(pts: list[int], score: float) -> Track:
        count = len(pts)
        boxes, landmarks = np.full((count, 4), score), np.full((count, 68, 2), score)
        return Track(7, np.array(pts), boxes, landmarks, np.full(count, score), None)

    longer = extend(track([4, 6, 8], 0.5), track([2, 5, 6, 9], 0.8))
    assert longer.pts.tolist() == [2, 4, 5, 6, 8, 9]
    assert np.allclose(longer.scores, [0.8, 0.5, 0.8, 0.8, 0.5, 0.8])
    assert np.allclose(longer.boxes[:, 0], longer.scores)
    assert np.allclose(longer.landmarks[:, 67, 1], longer.scores)


def test_time_must_rise() -> None:
    tracker = Tracker()
    tracker.update(0, 1.0, [])
    with pytest.raises(ValueError, match="does not come after"):
        tracker.update(1, 1.0, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"high_score": 1.5},
        {"max_gap_seconds": 0},
        {"max_size_ratio": 1},
        {"low_score": 0.6},
        {"stride": 0},
        {"join_speed": -1},
    ],
)
def test_settings_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"tracking.{next(iter(wrong))} is .* allowed"):
        TrackingSettings(**wrong)


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no real landmarks at {CLIPS}")
def test_real_faces_are_one_track_for_each_person_and_shot() -> None:
    """Boxes and landmarks found frame by frame by another detector, without appearance, and the known cuts."""
    truth = json.loads((CLIPS / "ground_truth.json").read_text())["interview_edit_720p.mp4"]
    with np.load(CLIPS / "landmarks" / "interview_edit_720p.npz") as stored:
        frames, boxes, landmarks = stored["frame"], stored["box"], stored["landmarks68"]
    tracker = Tracker()
    for pts in range(truth["frames"]):
        if pts in truth["cuts"]:
            tracker.cut()
        here = np.flatnonzero(frames == pts)
        detections = [
            Detection(boxes[i], 0.9, landmarks[i][[37, 44, 30, 48, 54]], landmarks[i]) for i in here if pts % 4 or i % 2
        ]
        tracker.update(pts, pts / RATE, detections)
    spans = sorted((int(track.pts[0]), int(track.pts[-1])) for track in tracker.finish())
    wanted = [(shot["start"], shot["end"]) for shot in truth["shots"] for _ in shot["identities"]]
    assert len(spans) == len(wanted)
    assert np.abs(np.array(spans) - np.array(sorted(wanted))).max() <= 1
