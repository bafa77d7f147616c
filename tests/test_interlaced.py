"""Interlaced video: found by its flags and its looks, restored field by field, woven back, or deinterlaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import faces
import media
import numpy as np
import pytest
from media import Clip, Interlacing, make_clip, make_interlaced, moving_face
from numpy.typing import NDArray

from vidrestore.config import RestorationSettings, ScanSettings
from vidrestore.interlacing import restored_deinterlaced, restored_woven, scan_of
from vidrestore.restoration import Tally, restore_frames
from vidrestore.restorers import build_restorer
from vidrestore.timeline import of_fields
from vidrestore.types import Analysis, FaceCrop, Frame, Image, Reference, Restorer, Scan, Span, Timeline
from vidrestore.video import (
    CadenceFinder,
    VideoWriter,
    at_exact_times,
    completed_by,
    fields_of,
    find_scan,
    marked,
    picture_from_rgb,
    probe,
    progressive,
    read_frames,
    without_combs,
)
from vidrestore.video.picture import StoredPicture
from vidrestore.video.scan import decide

SHARED = Path(__file__).resolve().parents[2] / "shared" / "clips"
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
STEP = (1.5, 0.4)
"""Pixels that the face moves from field to field."""
PICTURES = moving_face(24, STEP)
FILM = moving_face(20, (3, 0.8))
PULLED_DOWN = [picture for number, picture in enumerate(FILM) for _ in range(2 + number % 2)]
"""Film for two and three fields in turn."""
NO_FILM = np.empty(0, np.int64)
LANDMARKS = faces.ASTRONAUT - np.float32(media.FACE_FROM)
H264 = {"preset": "ultrafast", "crf": "12"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The moving face, losslessly, by whether the top field is first."""
    folder = tmp_path_factory.mktemp("interlaced")
    return {top: make_interlaced(folder / f"{top}.mkv", PICTURES, Interlacing(top)) for top in (True, False)}


@dataclass
class Changer:
    """A restorer that makes faces brighter by ``levels``; with 0 it leaves them as they are."""

    levels: int = 0
    name: str = "changer"
    licence: str = "none"
    device: str = "cpu"
    crop_size: int = 128

    def encode_references(self, references: Sequence[Reference]) -> None:  # noqa: ARG002
        raise AssertionError("nobody has references here")

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[None]) -> list[Image]:  # noqa: ARG002
        return [(crop.image.astype(int) + self.levels).clip(0, 255).astype(np.uint8) for crop in crops]


@dataclass
class Sharpener(Changer):
    """A restorer that sharpens."""

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[None]) -> list[Image]:  # noqa: ARG002
        soft = [cv2.GaussianBlur(crop.image, (0, 0), 2).astype(int) for crop in crops]
        return [(2 * c.image - s).clip(0, 255).astype(np.uint8) for c, s in zip(crops, soft, strict=True)]


def analysis_of(path: Path, scan: Scan) -> Analysis:
    """Knows nothing but the video; the faces are given as a timeline."""
    return Analysis(probe(path), "", Span(), 12, (), (), (), "", "", scan=scan)


def timeline_of(path: Path) -> Timeline:
    """The face in the first field of each frame."""
    return Timeline(
        {
            frame.pts: (faces.face(LANDMARKS + 2 * index * np.float32(STEP)),)
            for index, frame in enumerate(read_frames(path))
        }
    )


def restored(
    path: Path, restorer: Restorer, tally: Tally | None = None, film_cycles: NDArray[np.int64] = NO_FILM
) -> Iterator[Frame]:
    """The frames with their faces restored, as the scan that is found asks for."""
    tally = tally or Tally()
    analysis = replace(analysis_of(path, find_scan(probe(path))), film_cycles=film_cycles)

    def restore(frames: Iterable[Frame], timeline: Timeline) -> Iterator[Frame]:
        return restore_frames(frames, timeline, restorer, {}, "auto", 4, 1.0, tally)

    return restored_woven(read_frames(path), timeline_of(path), analysis, restore, tally)


def combing(image: NDArray) -> float:
    """Mean of how far each line is from those above and below, beyond how far these are from each other."""
    grey = image.astype(np.float32).mean(axis=2)
    middle, above, below = grey[1:-1], grey[:-2], grey[2:]
    return float(np.maximum(np.abs(2 * middle - above - below) / 2 - np.abs(above - below), 0).mean())


# what is found


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(("codec", "options"), [("ffv1", {}), ("libx264", H264), ("mpeg2video", {"b": "4M"})], ids=str)
def test_interlaced_video_is_found_with_its_field_order(tmp_path, codec, options, flagged, top_first):
    if codec == "libx264" and flagged:
        options = {**options, "x264-params": "tff=1" if top_first else "bff=1"}
    how = Interlacing(top_first, flagged, codec, options=options)
    scan = find_scan(probe(make_interlaced(tmp_path / "a.mkv", PICTURES, how)))
    assert (scan.kind, scan.top_first) == ("interlaced", top_first)
    assert "12 of 12 frames looked at are combed" in scan.reason


def grain(pictures: list[NDArray]) -> list[NDArray]:
    rng = np.random.default_rng(0)
    return [np.clip(p + 15 * rng.standard_normal(p.shape), 0, 255).astype(np.uint8) for p in pictures]


def stripes(period: float, step: float) -> list[NDArray]:
    lines = np.arange(144)[:, None, None]
    waves = [np.sin((lines + step * index) * 2 * np.pi / period + 0.3) for index in range(24)]
    return [np.broadcast_to(128 + 100 * wave, (144, 192, 3)).astype(np.uint8) for wave in waves]


@pytest.mark.parametrize(
    "pictures",
    [PICTURES, grain(PICTURES), PICTURES[:1] * 24, grain(PICTURES[:1] * 24), moving_face(24, (0, 1))]
    + [stripes(period, step) for period, step in ((2, 1), (3, 0.5), (4, 0.7), (2.3, 0.5))],
    ids=["moving", "grain", "static", "static grain", "upwards", *(f"stripes {n}" for n in range(4))],
)
def test_progressive_video_is_not_taken_for_interlaced(tmp_path, pictures):
    path = tmp_path / "a.mkv"
    with media.av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 192, 144, "yuv420p"
        for picture in pictures:
            container.mux(video.encode(media.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(video.encode(None))
    assert find_scan(probe(path)).kind == "progressive"


def test_samples_are_progressive():
    assert find_scan(probe(SAMPLES / "astronaut_old.mp4")).kind == "progressive"


def test_flags_decide_only_where_the_frames_do_not():
    still = Counter(undetermined=90, progressive=3)
    assert decide(still, "").kind == "progressive"
    assert decide(still, "bottom field first") == Scan(
        "interlaced",
        False,
        "bottom field first: flagged as bottom field first, 0 of 93 frames looked at are combed and 3 whole",
    )
    assert decide(still, "interlaced").top_first
    assert decide(Counter(progressive=80, undetermined=20), "top field first").kind == "progressive"
    assert not decide(Counter(bff=60), "top field first").top_first
    assert decide(Counter(tff=20, bff=20), "").kind == "progressive"


def test_the_user_has_the_last_word(clips):
    video = probe(clips[True])
    assert scan_of(video, ScanSettings(scan="progressive")).kind == "progressive"
    assert not scan_of(video, ScanSettings(scan="bottom-first")).top_first
    assert scan_of(video, ScanSettings()).top_first


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared clips are not beside the repository")
def test_the_interlaced_clip_is_told_from_the_others():
    names = (
        "interlaced_tff_480i.mpg",
        "carphone_qcif_degraded.mp4",
        "webcam_single_400x300.mp4",
        "tos_bridge_208p.mp4",
    )
    scans = [find_scan(probe(SHARED / name)) for name in names]
    assert [scan.is_interlaced for scan in scans] == [True, False, False, False]
    assert scans[0].top_first


# what is seen


@pytest.mark.parametrize("top_first", [True, False])
def test_what_is_looked_at_is_the_first_field(clips, top_first):
    path = clips[top_first]
    scan = find_scan(probe(path))
    raw, seen = list(read_frames(path)), list(without_combs(read_frames(path), scan))
    shown = list(marked(read_frames(path), scan))
    assert [frame.pts for frame in seen] == [frame.pts for frame in raw]
    for index in (3, 8):
        truth = PICTURES[2 * index].astype(int)
        errors = [np.abs(frames[index].image - truth).mean() for frames in (raw, seen, shown)]
        # What is between the lines is a guess, but a better one than lines of another moment.
        assert errors[1] < 0.5 * errors[0]
        assert errors[2] < 0.7 * errors[0]
        lines = slice(0 if top_first else 1, None, 2)
        exact = picture_from_rgb(PICTURES[2 * index]).codes(raw[0].picture.layout.components[0])
        luma = seen[index].picture.codes(seen[index].picture.layout.components[0])
        assert np.array_equal(luma[lines], exact[lines])


def test_faces_of_second_fields_are_half_way():
    moved = faces.face(LANDMARKS + np.float32((4, 2)), 0.5)
    known = Timeline({10: (faces.face(LANDMARKS),), 20: (moved,), 30: ()})
    timeline = of_fields(known, 11)
    assert sorted(timeline.faces) == [20, 31, 40, 51, 60, 71]
    (half,) = timeline.at(31)
    assert np.allclose(half.landmarks, LANDMARKS + np.float32((2, 1)), atol=1e-4)
    assert half.weight == pytest.approx(0.75)
    (last,) = timeline.at(51)
    assert np.array_equal(last.landmarks, moved.landmarks)


# what is restored


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p", "gray", "gbrp10le", "bgr0", "yuv411p"])
@pytest.mark.parametrize("top_first", [True, False])
def test_a_restorer_that_does_nothing_leaves_every_sample_as_it_was(tmp_path, pixel_format, top_first):
    how = Interlacing(top_first, pixel_format=pixel_format)
    path = make_interlaced(tmp_path / "a.mkv", PICTURES[:12], how)
    tally = Tally()
    pairs = zip(read_frames(path), restored(path, Changer(), tally), strict=True)
    assert all(faces.same_planes(faces.planes(one), faces.planes(two)) for one, two in pairs)
    assert (tally.frames, tally.faces_restored) == (6, 12)


def test_each_field_gets_its_own_face(clips):
    """Without colour matching a plain brightening would be taken back; sharpening stays."""
    path = clips[True]
    for index, (before, after) in enumerate(zip(read_frames(path), restored(path, Sharpener()), strict=True)):
        component = before.picture.layout.components[0]
        change = np.abs(after.picture.codes(component).astype(float) - before.picture.codes(component))
        centres = []
        for parity in (0, 1):
            lines, columns = np.nonzero(change[parity::2])
            centres.append((columns.mean(), 2 * lines.mean() + parity))
        first, second = np.array(centres)
        expected = LANDMARKS.mean(axis=0) + 2 * index * np.float32(STEP)
        assert np.abs(first - expected).max() < 12
        if index < 11:
            # Half a frame of motion apart, not none and not a whole frame's; rounding of codes moves the centres.
            assert (second - first)[0] == pytest.approx(STEP[0], abs=0.7)


def test_what_is_outside_the_faces_keeps_its_bits(clips):
    for before, after in zip(read_frames(clips[True]), restored(clips[True], Sharpener()), strict=True):
        for old, new in zip(faces.planes(before), faces.planes(after), strict=True):
            scale = old.shape[1] / 192
            assert np.array_equal(old[:, : int(10 * scale)], new[:, : int(10 * scale)])
            assert not np.array_equal(old, new)


def test_restoring_combs_nothing(tmp_path):
    """A face that stands still and is restored in two fields has no more combs than one restored whole."""
    path = make_interlaced(tmp_path / "a.mkv", [PICTURES[0]] * 12)
    timeline = Timeline({frame.pts: (faces.face(LANDMARKS),) for frame in read_frames(path)})
    whole, fields = Scan(), Scan("interlaced")
    results = []
    for scan in (whole, fields):
        tally = Tally()

        def restore(frames: Iterable[Frame], known: Timeline, tally: Tally = tally) -> Iterator[Frame]:
            return restore_frames(frames, known, Sharpener(), {}, "auto", 4, 1.0, tally)

        frames = restored_woven(read_frames(path), timeline, analysis_of(path, scan), restore, tally)
        results.append(combing(next(islice(frames, 3, None)).image))
    before = combing(next(iter(read_frames(path))).image)
    assert results[1] <= 1.05 * max(results[0], before)


def test_the_network_brings_each_field_nearer_to_the_truth(tmp_path):
    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(picture, (0, 0), 1.4) + 5 * rng.standard_normal(picture.shape) for picture in PICTURES[:4]]
    old = [picture.clip(0, 255).astype(np.uint8) for picture in soft]
    truth = list(read_frames(make_interlaced(tmp_path / "truth.mkv", PICTURES[:4])))
    path = make_interlaced(tmp_path / "old.mkv", old)
    compact = build_restorer(RestorationSettings(), "cpu")
    frames = zip(truth, read_frames(path), restored(path, compact), strict=True)
    for index, three in enumerate(frames):
        landmarks = LANDMARKS + 2 * index * np.float32(STEP)
        (left, top), (right, bottom) = landmarks.min(axis=0).astype(int), landmarks.max(axis=0).astype(int)
        for parity in (0, 1):
            fields = [
                frame.picture.field(parity).rgb()[top // 2 : bottom // 2, left:right].astype(int) for frame in three
            ]
            before, after = (np.square(field - fields[0]).mean() for field in fields[1:])
            assert after < 0.8 * before
        luma = [frame.picture.codes(frame.picture.layout.components[0])[top:bottom, left:right] for frame in three]
        sharp, before, after = (combing(lines[..., None]) for lines in luma)
        # Detail is restored, and detail combs; the truth has by a quarter more than the source.
        assert after < before + 0.5 * (sharp - before)


# film


@pytest.fixture(scope="module")
def film_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_interlaced(tmp_path_factory.mktemp("film") / "a.mkv", PULLED_DOWN)


def cycles_of(path: Path, scan: Scan) -> tuple[int, ...]:
    cadence = CadenceFinder(scan)
    assert len(list(cadence.watch(read_frames(path)))) == len(list(read_frames(path)))
    return cadence.cycles()


@pytest.mark.parametrize("top_first", [True, False])
def test_film_is_restored_by_its_own_frames(tmp_path, top_first):
    path = make_interlaced(tmp_path / "a.mkv", PULLED_DOWN, Interlacing(top_first))
    scan = find_scan(probe(path))
    assert (scan.kind, scan.top_first) == ("interlaced", top_first)
    raw, cycles = list(read_frames(path)), cycles_of(path, scan)
    assert [frame.pts for frame in raw[0:25:5]] == list(cycles)
    moments = list(fields_of(raw, scan, 33, cycles))
    # Four moments for each five frames, and each is a frame of film, to the bit: nothing is interpolated.
    shown = [moment.picture.shown for moment in moments[:20]]
    for picture, film in zip(shown, FILM, strict=True):
        exact = StoredPicture(media.VideoFrame.from_ndarray(film, format="rgb24").reformat(format="yuv420p"))
        assert all(np.array_equal(picture.codes(c), exact.codes(c)) for c in exact.layout.components)
    assert [frame.pts for moment in moments for frame in completed_by(moment)] == [frame.pts for frame in raw]


def test_film_keeps_every_sample_and_its_cadence(film_clip):
    tally = Tally()
    scan = find_scan(probe(film_clip))
    cycles = np.array(cycles_of(film_clip, scan))
    for levels in (0, 1):
        restorer = Sharpener() if levels else Changer()
        found = list(restored(film_clip, restorer, tally, cycles))
        for before, after in zip(read_frames(film_clip), found, strict=True):
            assert faces.same_planes(faces.planes(before), faces.planes(after)) == (not levels)
        assert tally.frames == 25 * (levels + 1)
    # Fields that repeated others still do: their film is restored once.
    luma = found[0].picture.layout.components[0]
    assert np.array_equal(found[1].picture.codes(luma)[0::2], found[2].picture.codes(luma)[0::2])
    assert np.array_equal(found[3].picture.codes(luma)[1::2], found[4].picture.codes(luma)[1::2])


def test_film_can_be_put_back_to_its_own_rate(film_clip):
    scan = find_scan(probe(film_clip))
    cycles = cycles_of(film_clip, scan)
    raw = list(read_frames(film_clip))
    base, length = raw[0].time_base, 5 * (raw[1].pts - raw[0].pts)
    for known, count in ((cycles, 20), (cycles[:3], 12 + 20), ((), 50)):
        found = list(at_exact_times(progressive(fields_of(read_frames(film_clip), scan, 33, known)), known))
        assert (len(found), found[0].time_base) == (count, base / 4)
        assert all(one.pts < two.pts for one, two in pairwise(found))
        if known == cycles:
            cut = list(at_exact_times(progressive(fields_of(raw[:13], scan, 33, known)), known))
            assert [frame.pts for frame in cut[8:]] == [8 * length + 2 * 40 * n for n in range(6)]
        four = [frame.pts for frame in found[:5]]
        assert four == [length * place for place in range(5)] if known else four == [2 * 40 * n for n in range(5)]


def test_interlaced_video_has_no_cadence(clips):
    assert cycles_of(clips[True], Scan("interlaced")) == ()


# what is written


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "b.mp4"), ("prores_ks", "b.mov"), ("ffv1", "b.mkv")], ids=["x264", "prores", "ffv1"]
)
@pytest.mark.parametrize("top_first", [True, False])
def test_flags_and_order_are_kept(clips, tmp_path, codec, name, top_first):
    path = clips[top_first]
    with VideoWriter(path, tmp_path / name, codec=codec) as writer:
        for frame in restored(path, Changer()):
            writer.write(frame)
    assert writer.warnings == [] if codec == "ffv1" else len(writer.warnings) <= 1
    info = probe(tmp_path / name)
    assert info.field_order == ("top_first" if top_first else "bottom_first")
    assert all(frame.picture.stored.interlaced_frame for frame in read_frames(tmp_path / name))
    assert find_scan(info).top_first == top_first


def test_a_picture_made_of_first_fields_is_progressive(tmp_path):
    """As previews and checks are."""
    path, output = tmp_path / "a.mp4", tmp_path / "b.mp4"
    make_interlaced(path, PICTURES[:8], Interlacing(codec="libx264", options={**H264, "x264-params": "tff=1"}))
    assert probe(path).field_order == "top_first"
    with VideoWriter(path, output, codec="libx264", size=(192, 144)) as writer:
        for frame in without_combs(read_frames(path), find_scan(probe(path))):
            writer.write(replace(frame, picture=picture_from_rgb(frame.image)))
    assert probe(output).field_order == "progressive"
    assert not any(frame.picture.stored.interlaced_frame for frame in read_frames(output))


def test_deinterlaced_video_has_a_frame_for_each_field_right_in_time(clips, tmp_path):
    path, output = clips[True], tmp_path / "b.mp4"
    scan = find_scan(probe(path))
    analysis = analysis_of(path, scan)

    def restore(frames: Iterable[Frame], known: Timeline) -> Iterator[Frame]:
        return restore_frames(frames, known, Changer(), {}, "auto", 4, 1.0, Tally())

    base = analysis.video.time_base
    with VideoWriter(path, output, codec="libx264", crf=8, time_base=base / 4) as writer:
        for frame in restored_deinterlaced(read_frames(path), timeline_of(path), analysis, restore):
            writer.write(frame)
    found = list(read_frames(output))
    times = [frame.pts * base for frame in read_frames(path)]
    halves = [(one + two) / 2 for one, two in pairwise(times)]
    seconds = [frame.pts * frame.time_base for frame in found]
    assert seconds[:-1] == sorted([*times, *halves])
    assert float(seconds[-1] - seconds[-2]) == pytest.approx(1 / 50, abs=1e-3)
    info = probe(output)
    assert info.field_order in ("progressive", "unknown")
    assert not any(frame.picture.stored.interlaced_frame for frame in found)
    assert find_scan(info).kind == "progressive"
    for index in (5, 10):
        combed = list(read_frames(path))[index // 2].image.astype(int)
        truth = PICTURES[index].astype(int)
        assert np.abs(found[index].image - truth).mean() < 0.6 * np.abs(combed - truth).mean()


def test_progressive_video_is_restored_whole(tmp_path):
    path = make_clip(tmp_path / "a.mp4", Clip(size=(96, 64), count=4))
    frames = list(read_frames(path))
    analysis = analysis_of(path, find_scan(probe(path)))
    assert list(restored_woven(frames, Timeline(), analysis, lambda given, _: iter(list(given)), Tally())) == frames
