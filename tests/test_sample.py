"""The main job on the bundled sample with the embedded models: needs nothing but the repository."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import REPOSITORY, Finished
from media import packets

from vidrestore import analyze_video, preview_video, restore_video, store
from vidrestore.config import EncodingSettings, Settings
from vidrestore.evaluation import measure_videos, summarise
from vidrestore.identities import IdentitySettings
from vidrestore.types import Analysis
from vidrestore.video import read_frames

OLD, CLEAN = REPOSITORY / "samples" / "astronaut_old.mp4", REPOSITORY / "samples" / "astronaut_clean.mp4"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that was run once."""
    from vidrestore.demo import run_demo

    folder = tmp_path_factory.mktemp("demo")
    result = run_demo(folder, lambda _: None)
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture(scope="module")
def work(demo: Path) -> Path:
    """Where the demo kept its analysis."""
    (folder,) = demo.glob("analysis-*")
    return folder


@pytest.fixture(scope="module")
def analysis(work: Path) -> Analysis:
    return store.load(work)


def test_demo_says_where_its_results_are_and_what_was_gained(demo: Path) -> None:
    result = json.loads((demo / "result.json").read_text())
    assert Path(result["restored"]).is_file()
    picture = cv2.imread(result["picture"])
    assert picture is not None and picture.shape[1] == 960
    assert result["psnr_gain_db"] > 0.3
    assert result["psnr_gain_db"] == pytest.approx(result["psnr_after_db"] - result["psnr_before_db"], abs=0.02)
    assert "compact" in result["weights"] and "Apache-2.0" in result["weights"]


def test_every_frame_and_every_audio_packet_keeps_its_place(demo: Path) -> None:
    assert [f.pts * f.time_base for f in read_frames(demo / "restored.mp4")] == [
        f.pts * f.time_base for f in read_frames(OLD)
    ]
    assert packets(demo / "restored.mp4", "audio") == packets(OLD, "audio")


def test_metadata_names_tool_version_and_weights(demo: Path) -> None:
    with av.open(str(demo / "restored.mp4")) as container:
        comment = container.metadata["comment"]
    assert "vidrestore 0.1.0" in comment and "compact" in comment and "estimates" in comment


def test_one_person_in_two_shots_with_references_from_both(analysis: Analysis) -> None:
    assert len(analysis.shots) == 2
    assert len(analysis.tracks) == 2
    assert len(analysis.identities) == 1
    pts_of_references = [int(reference.source.removeprefix("pts ")) for reference in analysis.identities[0].references]
    assert len(pts_of_references) >= 2
    first = analysis.shots[0]
    assert any(pts > first.last for pts in pts_of_references)


def test_every_frame_has_the_face(analysis: Analysis) -> None:
    covered = {pts for track in analysis.tracks for pts in track.pts.tolist()}
    assert covered == {frame.pts for frame in read_frames(OLD)}


def test_landmarks_follow_the_face(analysis: Analysis) -> None:
    """The sample is rendered from a still photograph, so the landmarks in the photograph must stand still."""
    still = []
    for track in analysis.tracks:
        eyes = track.landmarks[:, 36:48].mean(axis=1)
        width = np.linalg.norm(
            track.landmarks[:, 42:48].mean(axis=1) - track.landmarks[:, 36:42].mean(axis=1), axis=1
        ).mean()
        acceleration = np.linalg.norm(np.diff(eyes, n=2, axis=0), axis=1)
        still.append(np.median(acceleration) / width)
    # The rendered motion itself accelerates by under 0.003 eye distances per frame; 0.02 would be seen as shaking.
    assert max(still) < 0.02


def test_pixels_far_from_the_face_are_untouched(work: Path, analysis: Analysis, tmp_path: Path) -> None:
    settings = Settings(encoding=EncodingSettings(codec="ffv1"))
    restore_video(OLD, tmp_path / "lossless.mkv", settings=settings, work=work)
    boxes = {pts: box for t in analysis.tracks for pts, box in zip(t.pts.tolist(), t.boxes, strict=True)}
    changed = 0
    for before, after in zip(read_frames(OLD), read_frames(tmp_path / "lossless.mkv"), strict=True):
        x0, y0, x1, y1 = boxes[before.pts]
        margin = 0.25 * (y1 - y0)
        outside = np.ones(before.image.shape[:2], dtype=bool)
        top, bottom = max(int(y0 - margin), 0), int(y1 + margin)
        outside[top:bottom, max(int(x0 - margin), 0) : int(x1 + margin)] = False
        np.testing.assert_array_equal(before.image[outside], after.image[outside])
        changed += int((before.image != after.image).any())
    assert changed == 90


def test_references_do_not_hurt(
    demo: Path, work: Path, analysis: Analysis, tmp_path: Path, command: Callable[..., Finished]
) -> None:
    done = command("restore", OLD, "-o", tmp_path / "generic.mp4", "--mode", "generic", "--work", work, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["faces_restored"] == 90 and result["mode"] == "generic"
    assert 0.9 < result["gate_factor"] <= 1 and sum(result["faces_held_back"].values()) < 90
    outputs = [tmp_path / "generic.mp4", demo / "restored.mp4"]
    generic, specific = summarise(measure_videos(CLEAN, OLD, outputs, analysis, judge=None))["outputs"]
    # 0.05 dB is what a change of encoder decisions alone can do.
    assert specific["psnr"] > generic["psnr"] - 0.05


def test_a_kept_analysis_is_used_again_and_a_changed_setting_makes_a_new_one(
    analysis: Analysis, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    store.save(analysis, work)
    stages: list[str] = []
    analyze_video(OLD, work=work, on_progress=lambda progress: stages.append(progress.stage))
    assert stages == []
    settings = Settings(identities=IdentitySettings(similarity_threshold=0.9))
    analyze_video(OLD, work=work, settings=settings, on_progress=lambda progress: stages.append(progress.stage))
    assert set(stages) == {"analyze"}


def test_preview_restores_only_its_range_side_by_side(work: Path, tmp_path: Path) -> None:
    output = tmp_path / "preview.mp4"
    result = preview_video(OLD, output, start=1.0, duration=0.4, work=work)
    assert result.frames == 10 and result.faces_restored == 10
    frames = list(read_frames(output))
    assert len(frames) == 10 and frames[0].pts == 0
    assert (frames[0].picture.width, frames[0].picture.height) == (2 * 384, 288)
    source = [frame for frame in read_frames(OLD) if 1.0 <= frame.seconds < 1.4]
    left = frames[0].image[:, :384].astype(float)
    # The left half is the source, but for the encoder's loss.
    assert np.abs(left - source[0].image).mean() < 3


def test_preview_without_analysis_says_so(tmp_path: Path) -> None:
    result = preview_video(OLD, tmp_path / "preview.mp4", start=2.5, duration=0.2, work=tmp_path / "none")
    assert result.faces_restored == 5
    assert any("no analysis yet" in warning for warning in result.warnings)
    assert not (tmp_path / "none").exists()


def test_the_analysis_of_another_video_is_refused(
    work: Path, clip: Path, tmp_path: Path, command: Callable[..., Finished]
) -> None:
    output = tmp_path / "out.mp4"
    done = command("restore", clip, "-o", output, "--work", work)
    assert done.code == 3
    assert "another video" in done.err and "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_faces_passes_unchanged(clip: Path, tmp_path: Path) -> None:
    settings = Settings(encoding=EncodingSettings(codec="ffv1"))
    result = restore_video(clip, tmp_path / "out.mkv", settings=settings, work=tmp_path / "work")
    assert (result.faces, result.frames) == (0, 24)
    for before, after in zip(read_frames(clip), read_frames(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(before.image, after.image)


def test_disabled_people_stay_as_they_are(analysis: Analysis, tmp_path: Path) -> None:
    people = tuple(dataclasses.replace(identity, enabled=False) for identity in analysis.identities)
    store.save(dataclasses.replace(analysis, identities=people), tmp_path / "work")
    settings = Settings(encoding=EncodingSettings(codec="ffv1"))
    result = restore_video(OLD, tmp_path / "out.mkv", settings=settings, work=tmp_path / "work")
    assert result.faces_kept == {"person disabled": 90}
    before, after = next(iter(read_frames(OLD))), next(iter(read_frames(tmp_path / "out.mkv")))
    np.testing.assert_array_equal(before.image, after.image)
