"""Real footage with ground truth by eye. Skipped where the clips are not beside the repository."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import REPOSITORY
from media import packets

from vidrestore import restore_video, store
from vidrestore.api import RestoreResult
from vidrestore.config import EncodingSettings, FacesSettings, RestorationSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.evaluation import measure_videos, summarise
from vidrestore.training.composites import load_backgrounds
from vidrestore.types import Analysis, Span
from vidrestore.video import probe, read_frames

CLIPS = REPOSITORY.parent / "shared" / "clips"
pytestmark = pytest.mark.skipif(
    not CLIPS.is_dir(), reason=f"needs the real footage in {CLIPS.name} beside the repository"
)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, Analysis, RestoreResult]]:
    """Restore a clip once: source, output, analysis, result. Tests of other things than faces need no network."""
    done: dict[str, tuple[Path, Path, Analysis, RestoreResult]] = {}

    def restore(
        name: str,
        suffix: str = ".mp4",
        codec: str = "auto",
        pack: str = "compact",
        weights: str = "runs:Sharpener",
    ) -> tuple[Path, Path, Analysis, RestoreResult]:
        if name not in done:
            folder = tmp_path_factory.mktemp("clip")
            settings = Settings(
                faces=FacesSettings(pack=pack),
                encoding=EncodingSettings(codec=codec),
                restoration=RestorationSettings(weights=weights),
            )
            output = folder / f"restored{suffix}"
            result = restore_video(CLIPS / name, output, settings=settings, work=folder / "work")
            done[name] = CLIPS / name, output, store.load(folder / "work"), result
        return done[name]

    return restore


def times(path: Path) -> list[object]:
    return [frame.pts * frame.time_base for frame in read_frames(path)]


def test_interview_keeps_every_frame_and_audio_packet(restored) -> None:
    source, output, _, result = restored("interview_edit_270p_degraded.mp4", weights="compact")
    assert result.frames == 375
    assert times(output) == times(source)
    assert packets(output, "audio") == packets(source, "audio")


def test_interview_has_three_people(restored) -> None:
    _, _, analysis, _ = restored("interview_edit_270p_degraded.mp4", weights="compact")
    assert len(analysis.identities) == 3
    shots = json.loads((CLIPS / "ground_truth.json").read_text())["interview_edit_270p_degraded.mp4"]["shots"]
    pts = [frame.pts for frame in read_frames(CLIPS / "interview_edit_270p_degraded.mp4")]
    owners = {track_id: identity.id for identity in analysis.identities for track_id in identity.track_ids}
    seen: dict[int, set[int]] = {}
    for track in analysis.tracks:
        for value in track.pts.tolist():
            seen.setdefault(value, set()).add(owners[track.id])
    named: dict[str, int] = {}
    for shot in shots:
        for frame in range(shot["start"], shot["end"] + 1):
            assert len(seen.get(pts[frame], set())) == len(shot["identities"]), f"frame {frame}"
        if len(shot["identities"]) == 1:
            (person,) = seen[pts[shot["start"]]]
            assert named.setdefault(shot["identities"][0], person) == person
    assert len(set(named.values())) == 3


def test_interview_references_come_from_several_shots(restored) -> None:
    _, _, analysis, _ = restored("interview_edit_270p_degraded.mp4", weights="compact")
    for identity in analysis.identities:
        moments = [int(reference.source.removeprefix("pts ")) for reference in identity.references]
        assert moments
        tracks = [t for t in analysis.tracks if t.id in identity.track_ids]
        used = {t.id for t in tracks for m in moments if m in t.pts}
        assert len(used) >= min(2, len(tracks))


def test_interview_comes_nearer_to_the_original(restored) -> None:
    source, output, analysis, result = restored("interview_edit_270p_degraded.mp4", weights="compact")
    assert result.faces_restored + result.faces_kept.get("too small", 0) == result.faces >= 460
    # Both clips have the same frames with the same timestamps, so the analysis at hand serves for the truth.
    measured = measure_videos(CLIPS / "interview_edit_720p.mp4", source, [output], analysis, judge=None)
    (figures,) = summarise(measured)["outputs"]
    assert figures["psnr_gain"] > 0.4 and figures["improved"] > 0.95, figures
    assert 0.8 < figures["sharpness_ratio"] < 1.15, figures


def test_a_clip_without_faces_stays_as_it_is(restored) -> None:
    source, output, _, result = restored("noface_flower_720p.mp4", ".mkv", "ffv1")
    assert result.faces == 0
    with av.open(str(source)) as before, av.open(str(output)) as after:
        for a, b in zip(before.decode(video=0), after.decode(video=0), strict=True):
            np.testing.assert_array_equal(a.to_ndarray(), b.to_ndarray())


def test_variable_frame_rate_is_kept(restored) -> None:
    source, output, _, _ = restored("interview_vfr_360p.mp4", pack="runs:Seer")
    assert times(output) == times(source)
    assert packets(output, "audio") == packets(source, "audio")


def test_a_turned_phone_video_stays_upright_and_variable(restored) -> None:
    source, output, _, result = restored("phone_selfie_rot90_vfr_hevc.mp4")
    assert times(output) == times(source)
    before, after = probe(source), probe(output)
    assert (
        (after.width, after.height, after.rotation)
        == (before.width, before.height, before.rotation)
        == (1080, 1440, 90)
    )
    assert result.faces_restored >= 50


def test_grey_film_stays_grey(tmp_path: Path) -> None:
    """The soldier, in the shot that ends after 1.5 s."""
    source, output = CLIPS / "archival_army_1950s_bw.mp4", tmp_path / "restored.mp4"
    result = restore_video(source, output, work=tmp_path / "work", span=Span(0.0, 0.6))
    assert result.faces_restored >= 15
    befores = read_frames(source, Span(0.0, 0.6))
    for before, after in zip(befores, read_frames(output), strict=True):
        coloured = np.ptp(after.image.astype(int), axis=2).mean() - np.ptp(before.image.astype(int), axis=2).mean()
        assert coloured < 0.5


def test_ten_bits_stay_ten_bits(restored) -> None:
    source, output, _, result = restored("talking_head_10bit_hevc.mp4")
    assert probe(output).pixel_format == probe(source).pixel_format == "yuv420p10le"
    assert result.faces_restored == 50


@pytest.fixture(scope="module")
def judged() -> Callable[[str, Path], dict[str, Any]]:
    """Render, encode, analyze and judge an edit of ``benchmarks/scenes.py``; nothing was trained on its people."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    import people
    import scenes

    shared = CLIPS.parent
    cast = people.cast_of(shared / "portraits")
    cast = [cast[index] for index in scenes.look_alikes(cast)]
    backgrounds = people.places(load_backgrounds(shared / "backgrounds", longest=800)[:80])
    detector = build_detector(FacesSettings(), "cpu")

    def judge(name: str, path: Path) -> dict[str, Any]:
        edit = getattr(scenes, name)(cast, backgrounds)
        scenes.write(edit, path)
        return people.measure(path, people.edit_truth(edit), detector, Settings())

    return judge


@pytest.mark.parametrize("edit", ["crossing", "same_light"])
def test_nobody_is_taken_for_somebody_else(judged, edit: str, tmp_path: Path) -> None:
    """People who cross, one hidden by the other; and people who look alike in one dim light."""
    figures = judged(edit, tmp_path / "edit.mp4")
    assert figures["wrong_merges"] == 0
    assert figures["people"] == figures["true_people"]
    assert figures["coverage"] >= 0.98
    assert figures["stray_tracks"] == 0
    assert figures["cuts"]["precision"] == figures["cuts"]["recall"] == 1
