"""``eval``: what is measured, how it is averaged, and the command from files to figures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from conftest import REPOSITORY, Finished
from faces import placed, track, video_info
from media import Clip, make_clip
from onnx import TensorProto, helper

from vidrestore import cli
from vidrestore.errors import WeightsError
from vidrestore.evaluation import Measurement, measure_videos, summarise
from vidrestore.evaluation.judge import choose_pack, driver_of, is_own
from vidrestore.evaluation.lpips import Lpips
from vidrestore.evaluation.truth import true_faces
from vidrestore.types import Analysis, Identity, Shot, Span, Track
from vidrestore.video import VideoWriter, picture_from_rgb, read_frames

Run = Callable[..., Finished]
SAMPLE_SECONDS = 0.32
FRAMES = 8
MEASURED = {
    "psnr", "ssim", "identity", "landmark_error", "failures", "sharpness_ratio", "detail_ratio", "lpips",
    "landmark_motion", "landmark_motion_error", "identity_drift", "warping_error",
}  # fmt: skip
COUNTS = {"faces", "faces_with_landmarks", "faces_in_motion"}
RATIOS = {"landmark_motion_ratio", "landmark_motion_error_ratio", "identity_drift_ratio", "warping_error_ratio"}
FIGURES = MEASURED | RATIOS | COUNTS
GAINS = {"psnr_gain", "ssim_gain", "identity_gain", "improved", "harm", "harm_clear"}


def analysis_with(*tracks: Track, width: int = 160, height: int = 120) -> Analysis:
    """The tracks of one person called Ada."""
    return Analysis(
        video=dataclasses.replace(video_info(), width=width, height=height),
        fingerprint="",
        span=Span(),
        frame_count=12,
        shots=(Shot(0, 11),),
        tracks=tracks,
        identities=(Identity(0, "Ada", (0,), None, ()),),
        settings_digest="",
        faces_model="by hand",
    )


def refused(done: Finished, code: int, *told: str) -> None:
    assert done.code == code, done.err
    assert done.out == "" and "Traceback" not in done.err
    for words in told:
        assert words in done.err


# Where


def test_faces_scale_with_the_pixels() -> None:
    """Half the size: the outer edges of the pixels are halved, not their centres."""
    analysis = analysis_with(track(0, [0, 512], placed(80, 60, 25)))
    (whole, _), (half, _) = true_faces(analysis, 160, 120), true_faces(analysis, 80, 60)
    assert whole.keys() == {0, 512}
    np.testing.assert_allclose(half[0][0].landmarks + 0.5, (whole[0][0].landmarks + 0.5) / 2, atol=1e-4)
    np.testing.assert_allclose(half[0][0].box + 0.5, (whole[0][0].box + 0.5) / 2, atol=1e-4)
    assert whole[0][0].person == "Ada"


def test_faces_that_the_truth_does_not_show_are_not_measured() -> None:
    seen = track(1, [0, 512, 1024], placed(80, 60, 25))
    hidden = dataclasses.replace(seen, scores=np.array([0.9, 0, 0.9]))
    faces, too_small = true_faces(analysis_with(hidden), 160, 120)
    assert (faces.keys(), too_small) == ({0, 1024}, 0)
    assert faces[0][0].person == "unassigned"


def test_the_region_stays_inside_and_small_faces_are_counted(clip: Path) -> None:
    pts = [frame.pts for frame in read_frames(clip)]
    faces, _ = true_faces(analysis_with(track(0, pts, placed(2, 60, 25))), 160, 120)
    rows, columns = faces[pts[0]][0].region
    assert columns.start == 0 < columns.stop < 40 and rows.stop - rows.start > 16
    measured = measure_videos(clip, clip, [], analysis_with(track(0, pts, placed(80, 60, 5))), judge=None)
    assert (measured.frames, measured.faces_too_small, measured.people) == (24, 24, ())
    assert summarise(measured)["input"]["psnr"] is None


# How it is averaged


def by_hand() -> Measurement:
    """Three face-frames of Ada, the last of which the truth leaves without landmarks, and one of Bob."""
    base = {name: np.zeros(4) for name in MEASURED}
    truth = {**base, "failures": np.array([0, 0, math.nan, 0]), "warping_error": np.array([math.nan, 2, 4, math.nan])}
    truth["landmark_motion"] = np.array([math.nan, 0.1, 0.3, math.nan])
    source = {**base, "psnr": np.array([20.0, 20, 20, 30]), "identity": np.array([0.5, 0.5, 0.5, 0.9])}
    output = {
        **base,
        "psnr": np.array([21.0, 19, 26, 30]),
        "identity": np.array([0.6, 0.49, 0.4, 0.9]),
        "failures": np.array([0, 1, math.nan, 0]),
        "warping_error": np.array([math.nan, 6, 6, math.nan]),
        "landmark_motion_error": np.array([math.nan, 0.1, 0.1, math.nan]),
    }
    seconds = np.array([0, 0.04, 0.08, 0.08])
    return Measurement(3, 0, ("Ada", "Ada", "Ada", "Bob"), (0, 0, 0, 1), seconds, truth, source, (output,))


def test_clip_and_people_are_means_over_face_frames() -> None:
    (output,) = summarise(by_hand())["outputs"]
    ada, bob = output["people"]["Ada"], output["people"]["Bob"]
    assert (output["faces"], ada["faces"], bob["faces"]) == (4, 3, 1)
    assert (ada["psnr"], bob["psnr"], output["psnr"]) == (22, 30, 24)
    assert (ada["psnr_gain"], bob["psnr_gain"], output["psnr_gain"]) == (2, 0, 1.5)
    assert (ada["improved"], output["improved"]) == (pytest.approx(2 / 3), 0.5)


def test_what_the_truth_leaves_undefined_is_left_out_and_counted() -> None:
    (output,) = summarise(by_hand())["outputs"]
    assert (output["failures"], output["faces_with_landmarks"]) == (pytest.approx(1 / 3), 3)
    assert (output["people"]["Ada"]["failures"], output["people"]["Ada"]["faces_with_landmarks"]) == (0.5, 2)
    assert output["people"]["Bob"]["warping_error"] is None


def test_temporal_figures_are_also_given_over_the_truths_own() -> None:
    summary = summarise(by_hand())
    (output,) = summary["outputs"]
    assert (summary["truth"]["warping_error"], output["warping_error"]) == (3, 6)
    assert (summary["truth"]["warping_error_ratio"], output["warping_error_ratio"]) == (1, 2)
    assert output["landmark_motion_error_ratio"] == pytest.approx(0.1 / 0.2)
    # A truth that stands still gives no unit.
    assert output["identity_drift_ratio"] is None


def test_harm_is_counted_by_person() -> None:
    (output,) = summarise(by_hand())["outputs"]
    assert (output["harm"], output["harm_clear"]) == (0.5, 0.25)
    assert output["people"]["Ada"]["harm"] == pytest.approx(2 / 3)
    assert output["people"]["Bob"]["harm"] == 0


# Who judges


def test_another_pack_judges_where_one_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDRESTORE_CACHE", str(tmp_path))
    assert choose_pack([None]) == choose_pack(["compact (Apache-2.0)"]) == "compact"
    folder = tmp_path / "insightface" / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    (folder / "w600k_r50.onnx").touch()
    assert choose_pack([None]) == choose_pack(["compact (Apache-2.0)"]) == "buffalo_l"
    assert choose_pack(["buffalo_l (non-commercial research only)", None]) == "compact"


def test_the_file_says_what_drove_it(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    said = "faces restored by vidrestore 0 with x, found by compact (Apache-2.0); restored faces are estimates"
    with VideoWriter(clip, output, codec="ffv1", comment=said) as writer:
        writer.write(next(iter(read_frames(clip))))
    assert driver_of(output) == "compact (Apache-2.0)"
    assert driver_of(clip) is None
    assert is_own("compact (Apache-2.0)", driver_of(output)) is True
    assert is_own("buffalo_l (research)", driver_of(output)) is False
    assert is_own("compact (Apache-2.0)", None) is None


# A distance of the user's


def network(path: Path, *shape: str | int, inputs: int = 2, reduced: bool = True) -> Path:
    """ONNX of the mean absolute difference of two pictures: 2 between black and white."""
    names = ["picture", "truth"][:inputs]
    nodes = [helper.make_node("Sub", [names[0], names[-1]], ["d"]), helper.make_node("Abs", ["d"], ["a"])]
    nodes += [helper.make_node("ReduceMean" if reduced else "Identity", ["a"], ["distance"])]
    entries = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *shape]) for name in names]
    exits = [helper.make_tensor_value_info("distance", TensorProto.FLOAT, None)]
    model = helper.make_model(
        helper.make_graph(nodes, "distance", entries, exits),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("shape", [("h", "w"), (64, 64)])
def test_lpips_gets_aligned_faces_between_minus_one_and_one(tmp_path: Path, shape: tuple[str | int, ...]) -> None:
    distance = Lpips(network(tmp_path / "net.onnx", *shape))
    black, white = (np.full((120, 160, 3), level, dtype=np.uint8) for level in (0, 255))
    assert distance(white, black, placed(80, 60, 25)) == pytest.approx(2)
    assert distance(white, white, placed(80, 60, 25)) == 0
    # What is far from the face does not matter.
    elsewhere = black.copy()
    elsewhere[:, :10] = 255
    assert distance(elsewhere, black, placed(120, 60, 15)) == 0
    assert distance.name.startswith("net.onnx, sha256 ")


def test_an_lpips_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        Lpips(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError, match="cannot be loaded as ONNX"):
        Lpips(tmp_path / "text.onnx")
    with pytest.raises(WeightsError, match="expected two"):
        Lpips(network(tmp_path / "one.onnx", 64, 64, inputs=1))
    many = Lpips(network(tmp_path / "many.onnx", 64, 64, reduced=False))
    picture = np.zeros((120, 160, 3), dtype=np.uint8)
    with pytest.raises(WeightsError, match="expected one number"):
        many(picture, picture, placed(80, 60, 25))


# From files to figures


def short(source: Path, destination: Path, change: Callable[[Any, int], Any] | None = None) -> Path:
    """The start of ``source``, kept without loss, each picture changed by ``change``."""
    with VideoWriter(source, destination, codec="ffv1", span=Span(0, SAMPLE_SECONDS)) as writer:
        for index, frame in enumerate(read_frames(source, Span(0, SAMPLE_SECONDS))):
            picture = frame.picture if change is None else picture_from_rgb(change(frame.image, index))
            writer.write(dataclasses.replace(frame, picture=picture))
    return destination


def flickering(image: Any, index: int) -> Any:
    return np.clip(image.astype(int) + (12 if index % 2 else -12), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A truth, its degraded input, and what three tools made of it: blur, flicker, and a face painted over."""
    folder = tmp_path_factory.mktemp("eval")
    clean, old = (REPOSITORY / "samples" / f"astronaut_{name}.mp4" for name in ("clean", "old"))
    short(clean, folder / "truth.mkv")
    short(old, folder / "input.mkv")
    short(clean, folder / "blurred.mkv", lambda image, _: cv2.GaussianBlur(image, (0, 0), 4))
    short(clean, folder / "flickering.mkv", flickering)
    short(clean, folder / "lost.mkv", lambda image, _: np.full_like(image, 90))
    network(folder / "lpips.onnx", 64, 64)
    return folder


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    """What ``eval --json`` prints for all of them, run once."""
    import contextlib
    import io

    names = ("input", "truth", "blurred", "flickering", "lost")
    flags = ["--plots", folder / "plots", "--lpips", folder / "lpips.onnx", "--faces", "compact", "--json"]
    said, progress = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(progress):
        outputs = [folder / f"{name}.mkv" for name in names]
        arguments = ["eval", "--truth", folder / "truth.mkv", "--input", folder / "input.mkv", *flags, *outputs]
        assert cli.run([str(argument) for argument in arguments]) == cli.DONE
    stages = {json.loads(line)["stage"] for line in progress.getvalue().splitlines()}
    assert stages == {"analyze", "evaluate"}
    return dict(json.loads(said.getvalue()))


@pytest.fixture(scope="module")
def made(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of each output, by the name of its file."""
    return {Path(output["path"]).stem: output for output in summary["outputs"]}


def test_the_json_has_every_figure_for_the_clip_and_each_person(summary: dict[str, Any], folder: Path) -> None:
    assert summary["judge"] == "compact (Apache-2.0)"
    assert summary["lpips_network"].startswith("lpips.onnx, sha256 ")
    assert (summary["frames"], summary["faces"], summary["faces_too_small"]) == (FRAMES, FRAMES, 0)
    assert (folder / "truth.mkv.vidrestore" / "analysis.json").is_file()
    for video in (summary["truth"], summary["input"]):
        assert video.keys() == FIGURES | {"path", "people"}
        assert video["people"].keys() == {"person 1"} and video["people"]["person 1"].keys() == FIGURES
    for output in summary["outputs"]:
        assert output.keys() == FIGURES | GAINS | {"path", "people", "faces_found_by", "judged_by_its_own_pack"}
        assert output["people"]["person 1"] == {key: output[key] for key in FIGURES | GAINS}
        assert all(math.isfinite(output[key]) for key in FIGURES | GAINS)
        assert (output["faces_in_motion"], output["faces_found_by"]) == (FRAMES - 1, None)


def test_the_input_as_an_output_gains_exactly_nothing(summary: dict[str, Any], made: dict[str, Any]) -> None:
    assert {key: made["input"][key] for key in GAINS} == dict.fromkeys(GAINS, 0)
    assert {key: made["input"][key] for key in FIGURES} == {key: summary["input"][key] for key in FIGURES}


def test_the_truth_as_an_output_cannot_be_beaten(summary: dict[str, Any], made: dict[str, Any]) -> None:
    best = made["truth"]
    assert (best["psnr"], best["improved"], best["harm"], best["failures"]) == (100, 1, 0, 0)
    for key in ("ssim", "identity", "sharpness_ratio", "detail_ratio", "warping_error_ratio", "identity_drift_ratio"):
        assert best[key] == pytest.approx(1)
    for key in ("landmark_error", "landmark_motion_error", "lpips"):
        assert best[key] == 0
    for name in ("input", "blurred", "flickering", "lost"):
        assert made[name]["psnr"] < 50 and made[name]["ssim"] < 1
        assert made[name]["lpips"] > 0
    assert summary["input"]["identity"] < 1


def test_blur_does_not_pass_for_calm(made: dict[str, Any]) -> None:
    """It flickers less than the truth, and the figures beside say why."""
    assert made["blurred"]["warping_error_ratio"] < 0.9
    assert made["blurred"]["sharpness_ratio"] < 0.5 and made["blurred"]["detail_ratio"] < 0.5
    assert made["blurred"]["psnr_gain"] < made["truth"]["psnr_gain"]


def test_flicker_is_seen_in_time_alone(made: dict[str, Any]) -> None:
    assert made["flickering"]["warping_error"] > made["truth"]["warping_error"] + 15
    assert made["flickering"]["detail_ratio"] == pytest.approx(1, abs=0.05)


def test_a_face_that_is_gone_fails_and_is_never_left_out(made: dict[str, Any]) -> None:
    lost = made["lost"]
    assert (lost["faces"], lost["faces_with_landmarks"]) == (FRAMES, FRAMES)
    assert (lost["failures"], lost["landmark_error"], lost["landmark_motion_error"]) == (1, 1, 1)
    assert (lost["harm"], lost["harm_clear"], lost["detail_ratio"]) == (1, 1, 0)
    assert lost["identity_gain"] < -0.1


def test_plots_show_something(summary: dict[str, Any], folder: Path) -> None:
    assert {path.name for path in (folder / "plots").iterdir()} == {"outputs.png", "person_1.png"}
    for path in (folder / "plots").iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None and picture.shape[1] >= 1000
        # Three of the five outputs, each in its colour.
        for blue_green_red in ((0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5), (0x73, 0x9E, 0x00)):
            assert (picture == blue_green_red).all(axis=2).any()
    assert summary["faces"] == FRAMES


def test_the_table_names_the_judge_and_warns_of_its_own_work(
    summary: dict[str, Any], folder: Path, tmp_path: Path, command: Run
) -> None:
    """The second run takes the analysis that the first one kept."""
    output = tmp_path / "restored.mkv"
    said = "faces restored by vidrestore 0 with x, found by compact (Apache-2.0); restored faces are estimates"
    with VideoWriter(folder / "input.mkv", output, codec="ffv1", comment=said) as writer:
        for frame in read_frames(folder / "input.mkv"):
            writer.write(frame)
    work = folder / "truth.mkv.vidrestore"
    paths = ("--truth", folder / "truth.mkv", "--input", folder / "input.mkv", output, "--work", work)
    done = command("eval", *paths, "--faces", "compact", "--quiet")
    assert done.code == cli.DONE, done.err
    lines = {line.split("  ")[0]: line for line in done.out.splitlines()}
    assert lines["PSNR, dB"].split()[2:5] == ["100.00", *[f"{summary['input']['psnr']:.2f}"] * 2]
    assert lines["gain in PSNR, dB"].split()[4:7] == ["-", "-", "0.00"]
    assert f"all faces ({FRAMES})" in done.out and f"person 1 ({FRAMES})" in done.out
    assert "judged by compact (Apache-2.0)" in done.out
    assert "LPIPS: not measured" in done.out and "LPIPS  " not in done.out
    assert "restored.mkv was restored with compact (Apache-2.0), which judges it, too" in done.err


def test_videos_of_other_sizes_are_refused(command: Run, clip: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", Clip(size=(80, 60), count=24))
    done = command("eval", "--truth", clip, "--input", clip, clip, other)
    refused(done, cli.INPUT_OUTPUT, f"{other} is 80x60", f"{clip} is 160x120")
    assert not clip.with_name(clip.name + ".vidrestore").exists()


@pytest.mark.parametrize("role", ["truth", "input", "output"])
def test_videos_of_other_lengths_are_refused(command: Run, clip: Path, tmp_path: Path, role: str) -> None:
    other = make_clip(tmp_path / "other.mp4", Clip(size=(160, 120), count=20))
    roles = {"truth": clip, "input": clip, "output": clip, role: other}
    done = command("eval", "--truth", roles["truth"], "--input", roles["input"], roles["output"])
    refused(done, cli.INPUT_OUTPUT, f"{other} has 20 frames and {clip} has 24")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--truth", "t.mp4", "o.mp4"], "needs --input"),
        (["--truth", "t.mp4", "--input", "i.mp4"], "no output to compare"),
        (["--input", "i.mp4", "o.mp4"], "eval without --truth takes one video"),
        (["o.mp4", "p.mp4"], "eval without --truth takes one video"),
    ],
)
def test_incomplete_usage_is_told_in_a_line(command: Run, arguments: list[str], told: str) -> None:
    refused(command("eval", *arguments), cli.USAGE, told)


def test_a_clip_without_faces_has_no_figures_and_says_so(command: Run, clip: Path, tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mp4", Clip(size=(320, 180), count=24))
    done = command("eval", "--truth", wide, "--input", clip, clip, "--work", tmp_path / "work", "--json")
    assert done.code == cli.DONE, done.err
    result = json.loads(done.out)
    assert (result["frames"], result["faces"], result["lpips_network"]) == (24, 0, None)
    assert result["outputs"][0]["psnr_gain"] is None and "lpips" not in result["outputs"][0]
    assert any("no face of the truth" in warning for warning in result["warnings"])
    stretched = "320x180 and the input 160x120: the truth was stretched"
    assert any(stretched in warning for warning in result["warnings"])


def test_a_larger_truth_is_averaged_down(clip: Path, tmp_path: Path) -> None:
    """Grey noise: the average of every four of its pixels is right but for rounding, one of the four is far off."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 240, 320, 1), dtype=np.uint8)
    shape = make_clip(tmp_path / "shape.mp4", Clip(size=(320, 240), count=24))
    makers = {
        "truth": (shape, lambda picture: picture),
        "averaged": (clip, lambda picture: np.rint(picture.reshape(120, 2, 160, 2, 1).mean(axis=(1, 3)))),
        "picked": (clip, lambda picture: picture[::2, ::2]),
    }
    for name, (like, make) in makers.items():
        with VideoWriter(like, tmp_path / f"{name}.mkv", codec="ffv1") as writer:
            for frame, grey in zip(read_frames(like), noise, strict=True):
                picture = np.repeat(make(grey).astype(np.uint8), 3, axis=2)
                writer.write(dataclasses.replace(frame, picture=picture_from_rgb(picture)))
    truth, averaged, picked = (tmp_path / f"{name}.mkv" for name in makers)
    pts = [frame.pts for frame in read_frames(truth)]
    analysis = analysis_with(track(0, pts, placed(160, 120, 50)), width=320, height=240)
    measured = measure_videos(truth, picked, [averaged], analysis, judge=None)
    assert len(measured.people) == 24
    assert measured.outputs[0]["psnr"].min() > 45
    assert measured.source["psnr"].max() < 20
