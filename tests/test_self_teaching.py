"""A clip as its own teacher: its degradation told from it, the gain to expect, and a copy of the weights for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Finished
from skimage import data

from vidrestore import analyze_video
from vidrestore.config import RestorationSettings, Settings, load_settings
from vidrestore.errors import ConfigError
from vidrestore.restorers import find_weight_file
from vidrestore.restorers.compact import is_compact_file, save_compact
from vidrestore.restorers.compact.network import CompactNetwork, CompactShape
from vidrestore.self_teaching import Expectation, estimate_degradation, personalize, restore_personalized
from vidrestore.self_teaching.blur_and_noise import blur_sigma
from vidrestore.self_teaching.expectation import Gain
from vidrestore.self_teaching.lessons import FINER, held_out, lesson, teachers_of
from vidrestore.self_teaching.personalization import improves
from vidrestore.types import Analysis, Image, Shot, Span
from vidrestore.video import probe, read_coding, read_frames
from vidrestore.video.recompress import bits_per_pixel

PERSONAL_MINUTES = 0.25


def scene(count: int = 10) -> list[Image]:
    """Sharp and clean frames (288, 384, 3): a photograph at half its size, with the camera moving over it."""
    photograph = np.hstack((data.astronaut(), data.coffee()[:, :400].repeat(2, axis=0)[:512]))
    return [
        cv2.resize(photograph[:, 3 * step : 3 * step + 768], (384, 256), interpolation=cv2.INTER_AREA)
        for step in range(count)
    ]


def degraded(frames: Sequence[Image], blur: float, noise: float) -> list[Image]:
    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame for frame in frames]
    return [np.clip(np.rint(f + noise * rng.standard_normal(f.shape)), 0, 255).astype(np.uint8) for f in soft]


def write(path: Path, frames: Sequence[Image], codec: str = "libx264", options: dict[str, str] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {"qp": "20"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def without_faces(path: Path) -> Analysis:
    return Analysis(probe(path), "", Span(), 10, (Shot(0, 9),), (), (), "", "")


@pytest.mark.parametrize("quantiser", ["20", "34"])
@pytest.mark.parametrize("blur", [0.0, 0.7, 1.2, 2.5])
def test_blur_is_told_from_the_clip(blur: float, quantiser: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", degraded(scene(), blur, 2.0), options={"qp": quantiser})
    # Edges of a real scene are never quite sharp, and a codec takes fine detail away, too: a third of a pixel, or of
    # the blur, is what the method is good to.
    assert estimate_degradation(path, without_faces(path)).blur_sigma == pytest.approx(blur, abs=max(0.35, blur / 3))


def test_wider_blurs_are_told_from_narrower_ones() -> None:
    found = [blur_sigma(degraded(scene(2), blur, 0.0)) for blur in (0.5, 1.0, 1.5, 2.0, 3.0)]
    assert found == sorted(found)


@pytest.mark.parametrize(("noise", "quantiser"), [(0.0, "20"), (4.0, "20"), (10.0, "26")])
def test_noise_before_compression_is_told_from_what_is_left_of_it(noise: float, quantiser: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", degraded(scene(), 0.7, noise), options={"qp": quantiser})
    found = estimate_degradation(path, without_faces(path)).noise_sigma
    # The flat parts of a photograph have some texture of their own, and bisection stops at steps of 0.4 levels.
    assert found == pytest.approx(noise, rel=0.15, abs=0.2)


@pytest.mark.parametrize(
    ("encoder", "options", "expected"),
    [
        ("libx264", {"qp": "33"}, ("libx264", 33)),
        ("mpeg2video", {"qmin": "8", "qmax": "8"}, ("mpeg2video", 8)),
        ("mpeg4", {"qmin": "5", "qmax": "5"}, ("mpeg4", 5)),
    ],
)
def test_the_quantiser_is_read_from_the_stream(
    encoder: str, options: dict[str, str], expected: tuple[str, int], tmp_path: Path
) -> None:
    path = write(tmp_path / "clip.mkv", degraded(scene(), 0.5, 3.0), encoder, options)
    found = estimate_degradation(path, without_faces(path))
    assert found.quantiser_told and found.encoder == expected[0]
    assert found.quantiser == expected[1]


def test_a_codec_that_does_not_tell_its_quantiser_is_matched_by_bits(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.webm", degraded(scene(), 0.5, 3.0), "libvpx-vp9", {"crf": "40", "b": "0"})
    found, frames = estimate_degradation(path, without_faces(path)), [frame.image for frame in read_frames(path)]
    assert not found.quantiser_told and found.codec == "vp9"
    spent = bits_per_pixel(frames[:8], found.encoder, {"qp": str(found.quantiser), "preset": "medium"})
    # Three steps of H.264's quantiser change the bits by about 40 %; one step, which is as near as one comes, by 12 %.
    assert spent == pytest.approx(read_coding(path).bits_per_pixel, rel=0.3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen frames of the bundled sample, with one face."""
    frames = [frame.image for frame in islice(read_frames(REPOSITORY / "samples" / "astronaut_old.mp4"), 45, 61)]
    return write(tmp_path_factory.mktemp("clip") / "face.mp4", frames, options={"qp": "24"})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network that spoils every face a little, which a few steps of training can mend."""
    torch.manual_seed(0)
    network = CompactNetwork(
        CompactShape(
            width=16,
            blocks=(1, 1, 1, 1),
            bottom_width=32,
            entries=16,
            coarse_widths=(8, 8, 16),
            coarse_blocks=(1, 1, 1),
        )
    )
    torch.nn.init.normal_(network.head.weight, std=0.02)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_compact(network, path, "made for a test")
    return path


@pytest.fixture(scope="module")
def work(clip: Path) -> Path:
    return clip.parent / "work"


@pytest.fixture(scope="module")
def config(small: Path) -> Path:
    """Settings with the small network, and with references that may be alike and near to each other in time."""
    path = small.with_name("settings.toml")
    chosen = "[references]\nmin_gap_seconds = 0.15\nmin_difference = 0.0\n"
    path.write_text(f'{chosen}[restoration]\nweights = "{small.as_posix()}"\n')
    return path


@pytest.fixture(scope="module")
def settings(config: Path) -> Settings:
    return load_settings(config)


@pytest.fixture(scope="module")
def analysis(clip: Path, work: Path, settings: Settings) -> Analysis:
    return analyze_video(clip, settings=settings, work=work)


def test_lessons_are_smaller_than_the_references_and_the_same_for_the_same_seed(clip: Path, analysis: Analysis) -> None:
    found = estimate_degradation(clip, analysis)
    teachers = teachers_of(analysis, found, "auto")
    assert len(teachers) == sum(len(identity.references) for identity in analysis.identities) >= 2
    assert all(not alone.others for alone in teachers_of(analysis, found, "generic"))
    disabled = replace(analysis, identities=tuple(replace(person, enabled=False) for person in analysis.identities))
    assert not teachers_of(disabled, found, "auto")
    teacher = teachers[0]
    draws = [teacher.draw(found, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert all(draw.downscale >= FINER * teacher.own_scale for draw in draws)
    # The truth keeps part of the clip's own blur, so less than all of it is added.
    assert all(0 < draw.blur_sigma < 1.15 * draw.downscale * found.blur_sigma for draw in draws)
    made = lesson(teacher.reference.image, draws[0])
    assert np.abs(made.truth.astype(int) - made.degraded).mean() > 1


def test_what_is_held_out_is_not_learnt_from(clip: Path, analysis: Analysis) -> None:
    teachers = teachers_of(analysis, estimate_degradation(clip, analysis), "auto")
    learn, judge = held_out(teachers)
    assert len(learn) + len(judge) == len(teachers) and judge
    hidden = {id(teacher.reference) for teacher in judge}
    assert not hidden & {id(picture) for t in learn for picture in (t.reference, *t.others)}
    assert not hidden & {id(picture) for t in judge for picture in t.others}


def test_expected_gain_is_told_by_person_as_an_expectation(
    clip: Path, work: Path, config: Path, analysis: Analysis, command: Callable[..., Finished]
) -> None:
    done = command("eval", clip, "--work", work, "--config", config, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert set(told["people"]) == {"person 1"} and "not a measurement" in told["note"]
    gain = told["people"]["person 1"]
    assert gain["faces"] == 2 * len(analysis.identities[0].references)
    assert gain["psnr_gain"] == pytest.approx(gain["psnr_after"] - gain["psnr_before"], abs=1e-6)
    # These weights spoil faces, and the figures have to say so.
    assert gain["psnr_gain"] < 0 and gain["improved"] < 0.5
    assert told["degradation"]["codec"] == "h264" and told["everyone"] == gain


def test_the_table_of_an_expectation_says_that_it_is_one(clip: Path, analysis: Analysis) -> None:
    gain = Gain(faces=4, psnr_before=28.0, psnr_after=28.5, psnr_gain=0.5, improved=0.75)
    degradation = estimate_degradation(clip, analysis)
    rows = Expectation({"person 1": gain}, gain, degradation).as_text().splitlines()
    assert [row.split()[-5:] for row in rows[1:3]] == [["4", "28.00", "28.50", "0.50", "75%"]] * 2
    assert f"blur {degradation.blur_sigma:.2f} px" in rows[3] and "not a measurement" in rows[4]
    assert "nobody has a reference" in Expectation({}, None, degradation).as_text()


def test_a_copy_is_kept_only_where_held_out_faces_improve() -> None:
    plain = np.array([28.1, 30.4, 29.3, 31.0])
    assert improves(plain, plain + np.array([0.2, 0.1, 0.3, 0.15]))
    assert not improves(plain, plain)
    assert not improves(plain, plain - 0.1)
    # A mean of +0.05 dB out of changes that go both ways by a decibel is chance.
    assert not improves(plain, plain + np.array([1.1, -0.9, 1.0, -1.0]))


def test_a_personal_copy_is_made_in_time_kept_and_taken_again(
    clip: Path,
    work: Path,
    small: Path,
    config: Path,
    settings: Settings,
    analysis: Analysis,
    command: Callable[..., Finished],
    tmp_path: Path,
) -> None:
    plain = find_weight_file(str(small))
    assert plain is not None and plain.licence == "made for a test"
    begun = time.monotonic()
    first = personalize(clip, analysis, plain, settings, work, PERSONAL_MINUTES)
    # What is under way when the time is over is finished: on a machine with five times as many tasks as cores, a step,
    # the log's plot and the judgement took 18 s.
    assert time.monotonic() - begun < 60 * PERSONAL_MINUTES + 40
    assert first.weights is not None and first.steps > 0, first.reason
    assert first.psnr_personal is not None and first.psnr_plain is not None
    assert first.psnr_personal > first.psnr_plain
    assert is_compact_file(work / first.weights)
    assert not [path for path in work.iterdir() if path.name.startswith("personalize-") or path.suffix == ".part"]
    output = tmp_path / "out.mp4"
    done = command(
        "restore", clip, "-o", output, "--work", work, "--config", config, "--json",
        "--personalize", "--personalize-minutes", str(PERSONAL_MINUTES),
    )  # fmt: skip
    assert done.code == 0, done.err
    stages = {json.loads(line)["stage"] for line in done.err.splitlines()}
    assert stages == {"plan", "restore"}
    result = json.loads(done.out)
    assert result["weights"] == f"{first.weights} (made for a test)"
    assert not any("personalized" in warning for warning in result["warnings"])
    with av.open(str(output)) as container:
        assert first.weights in container.metadata["comment"]


def test_without_time_the_plain_weights_restore_and_a_warning_says_so(
    clip: Path, work: Path, settings: Settings, analysis: Analysis, tmp_path: Path
) -> None:
    assert len(analysis.identities[0].references) > 1
    settings = replace(settings, restoration=replace(settings.restoration, strength=0.0))
    result = restore_personalized(clip, tmp_path / "out.mp4", minutes=0.001, settings=settings, work=work)
    assert result.weights.startswith("small.safetensors")
    assert any("not personalized" in warning and "too few" in warning for warning in result.warnings)


def test_only_compact_networks_are_personalized(clip: Path, tmp_path: Path, command: Callable[..., Finished]) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"not a compact network")
    for weights in (str(other), "my_net:MyNet"):
        with pytest.raises(ConfigError, match="only a compact network"):
            restore_personalized(
                clip,
                tmp_path / "out.mp4",
                minutes=1,
                settings=Settings(restoration=RestorationSettings(weights=weights)),
            )
    done = command("restore", clip, "-o", tmp_path / "out.mp4", "--personalize", "--personalize-minutes", "0")
    assert done.code == 2 and "--personalize-minutes is 0" in done.err
    assert not (tmp_path / "out.mp4").exists()
