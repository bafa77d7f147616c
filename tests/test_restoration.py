"""Pass 2: every frame comes out, in order, with its own faces restored from the right memory, and all is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import faces
import numpy as np
import pytest
from numpy.typing import NDArray

from vidrestore.config import FadingSettings
from vidrestore.errors import ComponentError
from vidrestore.restoration import FAILED, NO_REFERENCES, Mode, Tally, encode_people, restore_frames
from vidrestore.timeline import DISABLED, HIDDEN, OUT_OF_SPAN, TOO_SMALL, TURNED_AWAY, UNSEEN, build_timeline
from vidrestore.types import Analysis, Face, FaceCrop, Frame, Identity, Image, Reference, Shot, Span, Timeline, Track
from vidrestore.video import read_frames

PICTURE = np.zeros((96, 96, 3), np.uint8)
LEFT, RIGHT = faces.placed(45, 50, 22), faces.placed(115, 55, 26, 8)
BURSTS = [0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 2, 2]


@dataclass
class Sharpener:
    """A restorer that sharpens, or with ``amount`` 0 does nothing, and remembers what it was asked."""

    amount: float = 0.0
    fails_on: frozenset[int] = frozenset()
    """Ids of tracks it gives up on."""
    asked: list[tuple[int | None, object]] = field(default_factory=list)
    """Identity and memory of every face."""
    batches: list[int] = field(default_factory=list)
    encoded: list[int] = field(default_factory=list)
    name: str = "sharpener"
    licence: str = "none"
    device: str = "cpu"
    crop_size: int = 96

    def encode_references(self, references: Sequence[Reference]) -> str:
        self.encoded.append(len(references))
        return f"memory of {references[0].source}"

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[object]) -> list[Image | None]:
        self.batches.append(len(crops))
        self.asked += [(crop.face.identity_id, memory) for crop, memory in zip(crops, memories, strict=True)]
        return [None if crop.face.track_id in self.fails_on else self._sharpened(crop.image) for crop in crops]

    def _sharpened(self, image: Image) -> Image:
        detail = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 3)
        return np.clip(image + self.amount * detail, 0, 255).astype(np.uint8)


def timeline_of(clip: Path, pattern: Sequence[int], identities: Sequence[int | None] = (0, 1)) -> Timeline:
    """As many faces in each frame as ``pattern`` says."""
    known = {}
    for frame, count in zip(read_frames(clip), pattern, strict=True):
        pair = (faces.face(LEFT, 1.0, identities[0], track=0), faces.face(RIGHT, 0.75, identities[1], track=1))
        known[frame.pts] = pair[:count]
    return Timeline({pts: present for pts, present in known.items() if present})


def restored(
    clip: Path,
    timeline: Timeline,
    restorer: Sharpener,
    *,
    memories: dict[int, object] | None = None,
    mode: Mode = "auto",
    batch: int = 4,
    strength: float = 1.0,
) -> tuple[list[tuple[int, list[NDArray]]], Tally]:
    """Pts and planes of every frame, and the tally."""
    tally = Tally()
    frames = restore_frames(read_frames(clip), timeline, restorer, memories or {}, mode, batch, strength, tally)
    return [(frame.pts, faces.planes(frame)) for frame in frames], tally


def decoded(clip: Path) -> list[tuple[int, list[NDArray]]]:
    return [(frame.pts, faces.planes(frame)) for frame in read_frames(clip)]


def person(number: int, **changes: object) -> Identity:
    reference = Reference(PICTURE, faces.MEAN_FACE, f"person {number}", 1.0, 1.0, "sharp")
    plain = Identity(number, f"person {number}", (number,), None, (reference,))
    return replace(plain, **changes)


# order and pixels


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    "pattern", [[0] * 24, [1] * 24, [2] * 24, [0, 1] * 12, BURSTS, [2, *[0] * 23], [*[0] * 23, 1]], ids=str
)
def test_every_frame_comes_once_in_order_with_its_own_faces(clip: Path, batch: int, pattern: list[int]) -> None:
    timeline, restorer = timeline_of(clip, pattern), Sharpener(amount=1.5)
    found, tally = restored(clip, timeline, restorer, batch=batch)
    source = decoded(clip)
    assert [pts for pts, _ in found] == [pts for pts, _ in source]
    # The faces restored one by one are the measure; a face of another frame would show, because the square moves.
    expected, _ = restored(clip, timeline, Sharpener(amount=1.5), batch=1)
    for (_, before), (_, after), (_, wanted), count in zip(source, found, expected, pattern, strict=True):
        assert faces.same_planes(after, wanted)
        assert faces.same_planes(after, before) == (count == 0)
    assert (tally.frames, tally.faces, tally.faces_restored) == (24, sum(pattern), sum(pattern))
    assert sum(restorer.batches) == sum(pattern)
    assert max(restorer.batches, default=0) <= batch


@pytest.mark.parametrize("batch", [1, 5])
def test_a_restorer_that_does_nothing_leaves_every_plane_as_it_was(clip: Path, batch: int) -> None:
    found, tally = restored(clip, timeline_of(clip, [2] * 24), Sharpener(), batch=batch)
    assert tally.faces_restored == 48
    for (_, after), (_, before) in zip(found, decoded(clip), strict=True):
        assert faces.same_planes(after, before)


def test_no_strength_leaves_every_plane_as_it_was(clip: Path) -> None:
    found, _ = restored(clip, timeline_of(clip, [2] * 24), Sharpener(amount=2), strength=0)
    for (_, after), (_, before) in zip(found, decoded(clip), strict=True):
        assert faces.same_planes(after, before)


def test_faces_of_several_frames_share_a_batch(clip: Path) -> None:
    restorer = Sharpener()
    restored(clip, timeline_of(clip, [1] * 24), restorer, batch=6)
    assert restorer.batches == [6, 6, 6, 6]


def test_frames_without_faces_do_not_pile_up_behind_a_batch_that_never_fills(clip: Path) -> None:
    read = []

    def counted() -> Iterator[Frame]:
        for frame in read_frames(clip):
            read.append(frame.pts)
            yield frame

    timeline = timeline_of(clip, [1, *[0] * 23])
    frames = restore_frames(counted(), timeline, Sharpener(), {}, "auto", 2, 1.0, Tally())
    next(frames)
    assert len(read) <= 8
    list(frames)
    assert len(read) == 24


def test_without_faces_each_frame_passes_at_once(clip: Path) -> None:
    source = list(read_frames(clip))
    frames = restore_frames(iter(source), Timeline(), Sharpener(), {}, "auto", 4, 1.0, Tally())
    assert next(frames) is source[0]


# memories


def test_memories_go_to_the_faces_of_their_people(clip: Path) -> None:
    restorer = Sharpener()
    people = [person(0), person(1)]
    memories = encode_people(restorer, people, "auto")
    assert restorer.encoded == [1, 1]
    restored(clip, timeline_of(clip, [2] * 24), restorer, memories=memories, batch=5)
    assert set(restorer.asked) == {(0, "memory of person 0"), (1, "memory of person 1")}
    assert len(restorer.asked) == 48


def test_a_face_of_nobody_and_a_person_without_references_get_no_memory(clip: Path) -> None:
    restorer = Sharpener()
    memories = encode_people(restorer, [person(0, references=()), person(1)], "auto")
    restored(clip, timeline_of(clip, [2] * 24, (0, 1)), restorer, memories=memories)
    assert set(restorer.asked) == {(0, None), (1, "memory of person 1")}
    nobody = Sharpener()
    restored(clip, timeline_of(clip, [2] * 24, (None, None)), nobody, memories=memories)
    assert set(nobody.asked) == {(None, None)}


def test_mode_generic_encodes_nobody(clip: Path) -> None:
    restorer = Sharpener()
    memories = encode_people(restorer, [person(0), person(1)], "generic")
    restored(clip, timeline_of(clip, [2] * 24), restorer, memories=memories, mode="generic")
    assert restorer.encoded == []
    assert {memory for _, memory in restorer.asked} == {None}


def test_people_who_are_switched_off_are_not_encoded() -> None:
    restorer = Sharpener()
    found = encode_people(restorer, [person(0, enabled=False), person(1, strength=0.0), person(2)], "auto")
    assert found == {2: "memory of person 2"}


def test_mode_specific_keeps_faces_without_references_and_says_why(clip: Path) -> None:
    restorer = Sharpener(amount=2)
    memories = encode_people(restorer, [person(0, references=()), person(1)], "specific")
    found, tally = restored(clip, timeline_of(clip, [1] * 12 + [2] * 12), restorer, memories=memories, mode="specific")
    assert dict(tally.faces_kept) == {NO_REFERENCES: 24}
    assert (tally.faces, tally.faces_restored) == (36, 12)
    same = [faces.same_planes(after, before) for (_, after), (_, before) in zip(found, decoded(clip), strict=True)]
    assert same == [True] * 12 + [False] * 12


# counting


def test_a_restoration_that_failed_is_counted_and_the_others_go_on(clip: Path) -> None:
    restorer = Sharpener(amount=2, fails_on=frozenset({0}))
    found, tally = restored(clip, timeline_of(clip, [1] * 12 + [2] * 12), restorer)
    assert dict(tally.faces_kept) == {FAILED: 24}
    assert tally.faces_restored == 12
    same = [faces.same_planes(after, before) for (_, after), (_, before) in zip(found, decoded(clip), strict=True)]
    assert same == [True] * 12 + [False] * 12


def test_a_face_that_is_kept_for_a_reason_is_counted_under_it(clip: Path) -> None:
    known = {frame.pts: (Face(0, 0, LEFT, 0.0, TOO_SMALL),) for frame in read_frames(clip)}
    restorer = Sharpener(amount=2)
    _, tally = restored(clip, Timeline(known), restorer)
    assert dict(tally.faces_kept) == {TOO_SMALL: 24}
    assert restorer.asked == []


# weights over time


STEP = 512
FADING = FadingSettings(fade_seconds=0.2)


def analysis_of(landmarks: NDArray[np.float32], shot: Shot, **changes: object) -> Analysis:
    """One person for 25 frames, of 1/25 s, from pts 0 on."""
    track = faces.track(0, [index * STEP for index in range(25)], landmarks)
    return Analysis(
        video=faces.video_info(),
        fingerprint="",
        span=Span(),
        frame_count=100,
        shots=(shot,),
        tracks=(track,),
        identities=(person(0, **changes),),
        settings_digest="",
        faces_model="",
    )


def weights(analysis: Analysis, settings: FadingSettings = FADING) -> NDArray[np.float64]:
    timeline = build_timeline(analysis, settings)
    return np.array([timeline.at(index * STEP)[0].weight for index in range(25)])


def test_a_face_fades_in_and_out_where_its_track_ends_within_a_shot() -> None:
    found = weights(analysis_of(LEFT, Shot(-50 * STEP, 50 * STEP)))
    assert 0 < found[0] < 0.3
    assert 0 < found[-1] < 0.3
    assert (np.diff(found[:5]) > 0).all()
    assert (np.diff(found[-5:]) < 0).all()
    assert np.abs(np.diff(found)).max() < 0.25
    assert np.allclose(found[6:-6], 1)


def test_at_a_cut_a_face_is_restored_fully_from_its_first_to_its_last_frame() -> None:
    assert np.allclose(weights(analysis_of(LEFT, Shot(0, 24 * STEP))), 1)
    found = weights(analysis_of(LEFT, Shot(0, 50 * STEP)))
    assert found[0] == 1
    assert found[-1] < 0.3


def test_without_fading_time_the_ends_are_full() -> None:
    found = weights(analysis_of(LEFT, Shot(-STEP, 50 * STEP)), FadingSettings(fade_seconds=0))
    assert np.allclose(found, 1)


@pytest.mark.parametrize(
    ("landmarks", "changes", "reason"),
    [
        (faces.placed(50, 50, 4), {}, TOO_SMALL),
        (LEFT, {"enabled": False}, DISABLED),
        (LEFT, {"strength": 0.0}, DISABLED),
    ],
)
def test_the_reason_for_keeping_a_face_is_given(
    landmarks: NDArray[np.float32], changes: dict[str, object], reason: str
) -> None:
    timeline = build_timeline(analysis_of(landmarks, Shot(0, 24 * STEP), **changes), FADING)
    kept = [timeline.at(index * STEP)[0] for index in range(25)]
    assert {face.kept_because for face in kept} == {reason}
    assert {face.weight for face in kept} == {0.0}


def test_a_face_that_looks_away_is_kept() -> None:
    settings = FadingSettings(full_turn_degrees=5, max_turn_degrees=8)
    # A face whose nose has moved to its cheek.
    turned = LEFT.copy()
    turned[27:36, 0] += 8
    timeline = build_timeline(analysis_of(turned, Shot(0, 24 * STEP)), settings)
    assert timeline.at(0)[0].kept_because == TURNED_AWAY
    assert build_timeline(analysis_of(LEFT, Shot(0, 24 * STEP)), FADING).at(0)[0].kept_because is None


def test_a_persons_strength_and_a_small_face_weaken_it() -> None:
    assert np.allclose(weights(analysis_of(LEFT, Shot(0, 24 * STEP), strength=0.5)), 0.5)
    small = weights(analysis_of(faces.placed(50, 50, 7), Shot(0, 24 * STEP)))
    assert 0.2 < small[12] < 0.8


@pytest.mark.parametrize("zero", [0, 50 * STEP])
def test_a_face_is_restored_only_in_the_time_of_its_person_and_fades_there(zero: int) -> None:
    """Times count from the first frame of the video, here as many as ``zero`` ticks before the face."""
    since = zero / 12800
    span = Span(since + 0.2, since + 0.8)
    analysis = analysis_of(LEFT, Shot(-zero, 24 * STEP), span=span)
    found = weights(analysis)
    inside = [index for index in range(25) if 0.2 <= index / 25 < 0.8]
    assert [index for index in range(25) if found[index] > 0] == inside
    edge = round(FADING.fade_seconds * 25)
    assert np.allclose(found[inside[edge:-edge]], 1)
    assert (np.diff(found[inside[: edge + 1]]) > 0).all()
    assert np.allclose(found[inside], found[inside][::-1])
    timeline = build_timeline(analysis, FADING)
    reasons = {timeline.at(index * STEP)[0].kept_because for index in range(25) if index not in inside}
    assert reasons == {OUT_OF_SPAN}


def test_a_face_that_appears_within_its_persons_time_does_not_fade_for_it() -> None:
    shot = Shot(-5 * STEP, 24 * STEP)
    assert np.allclose(weights(analysis_of(LEFT, shot, span=Span(0.1, 99))), weights(analysis_of(LEFT, shot)))
    without_fading = FadingSettings(fade_seconds=0)
    found = weights(analysis_of(LEFT, Shot(0, 24 * STEP), span=Span(0.2, 0.8)), without_fading)
    assert found.tolist() == [float(0.2 <= index / 25 < 0.8) for index in range(25)]


def test_frames_that_the_timeline_does_not_know_have_no_faces() -> None:
    timeline = build_timeline(analysis_of(LEFT, Shot(0, 24 * STEP)), FADING)
    assert timeline.at(25 * STEP) == ()
    assert timeline.at(1) == ()


def with_gap(analysis: Analysis, frames: int = 3) -> Track:
    """The track of ``analysis``, not seen in so many ``frames`` from number 3 on."""
    (track,) = analysis.tracks
    scores = np.ones(len(track.pts), np.float32)
    scores[3 : 3 + frames] = 0
    return replace(track, scores=scores)


def test_a_face_behind_another_one_is_not_restored_on_top_of_it() -> None:
    """A track's gap is bridged by interpolated landmarks, which may lie on the face that hides it."""
    analysis = analysis_of(LEFT, Shot(0, 24 * STEP))
    (front,) = analysis.tracks
    behind = replace(with_gap(analysis), id=1)
    timeline = build_timeline(replace(analysis, tracks=(front, behind)), FADING)
    reasons = [[face.kept_because for face in timeline.at(index * STEP)] for index in range(25)]
    assert [reason for reason, _ in reasons] == [None] * 25
    assert [reason for _, reason in reasons] == [None] * 3 + [HIDDEN] * 3 + [None] * 19


def test_a_gap_with_nobody_in_front_does_not_drop_the_face() -> None:
    analysis = analysis_of(LEFT, Shot(0, 24 * STEP))
    assert (weights(replace(analysis, tracks=(with_gap(analysis),))) > 0).all()


def test_a_face_that_is_long_unseen_is_not_painted_on_what_hides_it() -> None:
    analysis = analysis_of(LEFT, Shot(0, 24 * STEP))
    timeline = build_timeline(replace(analysis, tracks=(with_gap(analysis, frames=16),)), FADING)
    faces = [timeline.at(index * STEP)[0] for index in range(25)]
    assert {face.kept_because for face in faces[8:14]} == {UNSEEN}
    steps = np.diff([face.weight for face in faces])
    assert np.abs(steps).max() < 0.5  # fades over several frames, never in one
    assert faces[2].weight == faces[19].weight == 1


def test_a_restorer_that_breaks_its_contract_is_named(clip: Path) -> None:
    class Short(Sharpener):
        def restore(self, crops: Sequence[FaceCrop], memories: Sequence[object]) -> list[Image | None]:
            return list(super().restore(crops, memories))[1:]

    with pytest.raises(ComponentError, match="gave 0 pictures for 1 crops"):
        list(restore_frames(read_frames(clip), timeline_of(clip, [1] + [0] * 23), Short(), {}, "auto", 1, 1.0, Tally()))
