"""Previews: of a range in three views, of a single frame, soon, and the same as the whole restoration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import faces
import numpy as np
import pytest
from conftest import REPOSITORY, Finished
from PIL import Image

from vidrestore import analyze_video, preview_video
from vidrestore.api import preview_frame
from vidrestore.api.excerpts import excerpt
from vidrestore.api.frames import gate_of
from vidrestore.config import EncodingSettings, FadingSettings, Settings
from vidrestore.restoration import Tally, restore_frames
from vidrestore.restorers import build_restorer
from vidrestore.store import load
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Frame, Identity, Shot, Span
from vidrestore.video import VideoWriter, open_random_access, read_frames

Run = Callable[..., Finished]
LOSSLESS = Settings(encoding=EncodingSettings(codec="ffv1"))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 14 frames of the sample, and in the folder ``work`` beside it their analysis."""
    folder = tmp_path_factory.mktemp("short")
    sample, clip, span = REPOSITORY / "samples" / "astronaut_old.mp4", folder / "clip.mp4", Span(0, 0.56)
    with VideoWriter(sample, clip, span=span) as writer:
        for frame in read_frames(sample, span):
            writer.write(frame)
    analyze_video(clip, work=folder / "work")
    return clip


def work_of(clip: Path) -> Path:
    return clip.parent / "work"


def test_three_views_of_one_range(short: Path, tmp_path: Path) -> None:
    pictures = {}
    for view in ("side-by-side", "split", "restored"):
        output = tmp_path / f"{view}.mkv"
        result = preview_video(
            short, output, start=0.2, duration=0.12, view=view, settings=LOSSLESS, work=work_of(short)
        )
        assert (result.frames, result.faces_restored) == (3, 3)
        assert result.first_frame_seconds is not None and 0 < result.first_frame_seconds <= result.seconds
        pictures[view] = [frame.image for frame in read_frames(output)]
    source = [frame.image for frame in read_frames(short, Span(0.2, 0.32))]
    width = source[0].shape[1]
    for before, both, split, after in zip(source, *pictures.values(), strict=True):
        assert both.shape[1] == 2 * width and split.shape == after.shape == before.shape
        assert np.abs(before.astype(int) - after).max() > 10
        # Pictures that are composed are converted to YUV once more, which rounds; the line has a pixel on each side.
        for found, wanted in (
            (both[:, :width], before),
            (both[:, width:], after),
            (split[:, : width // 2 - 4], before[:, : width // 2 - 4]),
            (split[:, width // 2 + 4 :], after[:, width // 2 + 4 :]),
        ):
            assert np.abs(found.astype(int) - wanted).mean() < 1
        assert split[:, width // 2].mean() > 240


def test_a_frame_is_that_of_the_video_and_of_its_restoration(short: Path, tmp_path: Path) -> None:
    with open_random_access(short) as access:
        pts = access.pts[7]
    (wanted,) = (frame for frame in read_frames(short) if frame.pts == pts)
    output = tmp_path / "frame.png"
    # Half way to the next frame, this one is still shown.
    result = preview_frame(short, output, seconds=wanted.seconds + 0.02, work=work_of(short))
    assert (result.frames, result.faces, result.faces_restored, result.warnings) == (1, 1, 1, [])
    left, right = np.hsplit(np.array(Image.open(output)), 2)
    assert np.array_equal(left, wanted.image)
    video = tmp_path / "all.mkv"
    preview_video(short, video, start=0, duration=1, view="restored", settings=LOSSLESS, work=work_of(short))
    # Whole frames on both sides of it were restored there; its face is fused with the same neighbours here.
    after = list(read_frames(video))[7].image
    assert np.array_equal(right, after)
    assert "estimates" in Image.open(output).getexif()[0x000B]


def test_a_frame_of_a_video_without_analysis_says_so(short: Path, tmp_path: Path, command: Run) -> None:
    work = tmp_path / "none"
    done = command("preview", short, "-o", tmp_path / "f.png", "--frame", "0.2", "--work", work, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["faces_restored"] == 1 and any("this moment alone" in warning for warning in result["warnings"])
    assert not work.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--frame", "9"], "has no frame at 9 s; it is 0.56 s long"),
        (["--frame", "-1"], "--frame is -1, allowed"),
        (["--frame", "0.2", "-o", "OUT.mp4"], "no extension of a picture"),
        (["--view", "upside-down"], "upside-down"),
    ],
)
def test_what_cannot_be_previewed(short: Path, tmp_path: Path, command: Run, flags: list[str], told: str) -> None:
    flags = flags if "-o" in flags else [*flags, "-o", "OUT.png"]
    done = command("preview", short, *(str(tmp_path / flag) if flag.startswith("OUT") else flag for flag in flags))
    assert done.code in (2, 3)
    assert told in done.err and "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_the_first_frame_does_not_wait_for_the_gate_to_look_ahead(short: Path) -> None:
    settings, analysis = Settings(), load(work_of(short))
    restorer, gate = build_restorer(settings.restoration, "cpu"), gate_of(analysis, settings)
    timeline = build_timeline(analysis, settings.fading)

    def read_until_first(eager_frames: int) -> int:
        read = []

        def counted() -> Iterator[Frame]:
            for frame in read_frames(short):
                read.append(frame.pts)
                yield frame

        next(
            restore_frames(
                counted(), timeline, restorer, {}, "generic", 1, 1.0, Tally(), gate, eager_frames=eager_frames
            )
        )
        return len(read)

    assert read_until_first(1) == 1
    assert read_until_first(0) > 4


STEP = 512


def long_analysis() -> Analysis:
    """Ten seconds of one shot: one person all the time, one at the beginning, one at the end."""
    whole, early, late = ([i * STEP for i in range(*ends)] for ends in ((0, 250), (10, 60), (200, 240)))
    tracks = (
        faces.track(0, whole, faces.placed(50, 50, 22)),
        faces.track(1, early, faces.placed(100, 50, 22)),
        faces.track(2, late, faces.placed(100, 50, 8)),
    )
    return Analysis(
        video=replace(faces.video_info(), average_rate=None),
        fingerprint="",
        span=Span(),
        frame_count=250,
        shots=(Shot(0, 249 * STEP),),
        tracks=tracks,
        identities=tuple(Identity(i, f"person {i}", (i,), None, ()) for i in range(3)),
        settings_digest="",
        faces_model="",
    )


@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (8.5, 9.8), (9.0, None)])
def test_an_excerpt_weighs_faces_as_the_whole_does(start: float, stop: float | None) -> None:
    analysis, span = long_analysis(), Span(start, stop)
    settings = FadingSettings(fade_seconds=0.3)
    whole, part = build_timeline(analysis, settings), build_timeline(excerpt(analysis, span), settings)
    inside = [index * STEP for index in range(250) if index / 25 in span]
    assert len(inside) >= 25
    for pts in inside:
        wanted = [(face.track_id, face.identity_id, face.kept_because) for face in whole.at(pts)]
        assert [(face.track_id, face.identity_id, face.kept_because) for face in part.at(pts)] == wanted
        assert [f.weight for f in part.at(pts)] == pytest.approx([f.weight for f in whole.at(pts)])


def test_an_excerpt_has_only_the_people_and_frames_around_it() -> None:
    found = excerpt(long_analysis(), Span(4.5, 5.5))
    assert [person.id for person in found.identities] == [0]
    (track,) = found.tracks
    assert len(track.pts) < 80
    assert [person.id for person in excerpt(long_analysis(), Span(1, 2)).identities] == [0, 1]
