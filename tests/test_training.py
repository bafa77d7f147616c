"""The recipes that make the embedded models: each runs a few steps on pictures that dependencies ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from conftest import Finished
from faces import ASTRONAUT
from skimage import data

from vidrestore.config import RestorationSettings
from vidrestore.geometry import box_of
from vidrestore.restorers import build_restorer
from vidrestore.training.degradations import Degradation, degrade, footage, moderate, severe
from vidrestore.training.embedding import area_under_curve
from vidrestore.training.loop import learning_rate_at
from vidrestore.training.portraits import mirrored_points


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portraits of two people (one photograph, one drawn over), a group, and scenery."""
    root = tmp_path_factory.mktemp("pictures")
    portraits, groups, scenery = root / "portraits", root / "groups", root / "backgrounds"
    for folder in (portraits, groups, scenery):
        folder.mkdir()
    photograph = data.astronaut()
    box = box_of(ASTRONAUT)
    box[1] -= 0.23 * (box[3] - box[1])
    rows = []
    for number, split in enumerate(("train", "train", "train", "val", "val")):
        picture = np.clip(photograph.astype(int) - 12 * number, 0, 255).astype(np.uint8)
        name = f"{number}.jpg"
        cv2.imwrite(str(portraits / name), picture[:, :, ::-1])
        rows.append(
            {
                "file": name,
                "person": f"person {number % 2}",
                "split": split,
                "landmarks68": ASTRONAUT.tolist(),
                "face_box": box.tolist(),
                "hq": True,
                "synthetic": False,
                "grey": False,
            }
        )
    (portraits / "annotations.json").write_text(json.dumps(rows))
    cv2.imwrite(str(groups / "group.jpg"), photograph[:, :, ::-1])
    keypoints = [[203, 108], [239, 107], [223, 122], [208, 143], [241, 142]]
    group = {
        "file": "group.jpg",
        "split": "train",
        "faces": [{"box": box.tolist(), "points": keypoints}],
        "ignore": [[0, 300, 100, 400]],
    }
    (groups / "annotations.json").write_text(json.dumps({"images": [group]}))
    for name in ("coffee", "chelsea"):
        cv2.imwrite(str(scenery / f"{name}.jpg"), getattr(data, name)()[:, :, ::-1])
    return root


@pytest.mark.parametrize(("what", "outputs"), [("detector", 9), ("landmarks", 1), ("embedding", 1)])
def test_a_face_network_is_trained_and_exported(
    what: str, outputs: int, folders: Path, tmp_path: Path, command: Callable[..., Finished]
) -> None:
    done = command(
        "train", what, "--portraits", folders / "portraits", "--groups", folders / "groups",
        "--backgrounds", folders / "backgrounds", "-o", tmp_path, "--minutes", "0.02", "--batch", "4", "--threads", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
    session = onnxruntime.InferenceSession(str(tmp_path / f"{what}.onnx"), providers=["CPUExecutionProvider"])
    assert len(session.get_outputs()) == outputs
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] >= 1


def test_the_restorer_is_trained_resumed_and_loaded(
    folders: Path, tmp_path: Path, command: Callable[..., Finished]
) -> None:
    arguments = (
        "train",
        "restorer",
        "--portraits",
        folders / "portraits",
        "-o",
        tmp_path,
        "--batch",
        "1",
        "--threads",
        "1",
    )
    assert command(*arguments, "--minutes", "0.02").code == 0
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert command(*arguments, "--minutes", "0.06").code == 0
    second = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert second["step"] > first["step"] >= 1
    restorer = build_restorer(RestorationSettings(weights=str(tmp_path / "compact.safetensors")), "cpu")
    assert restorer.crop_size == 512


def test_a_folder_without_annotations_is_a_clear_error(tmp_path: Path, command: Callable[..., Finished]) -> None:
    done = command("train", "restorer", "--portraits", tmp_path, "-o", tmp_path / "out")
    assert done.code == 2
    assert "no annotations.json" in done.err


def test_a_missing_folder_is_named(tmp_path: Path, command: Callable[..., Finished]) -> None:
    done = command("train", "detector", "--portraits", tmp_path, "-o", tmp_path / "out")
    assert done.code == 2
    assert "--groups" in done.err


@pytest.mark.parametrize("recipe", [moderate, severe, footage])
def test_degradations_are_seeded_and_keep_the_size(recipe) -> None:
    picture = data.astronaut()[:256, :256]
    drawn = [recipe(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    first, again, other = (degrade(picture, degradation) for degradation in drawn)
    np.testing.assert_array_equal(first, again)
    assert first.shape == picture.shape and first.dtype == np.uint8
    assert (first != other).any() and (first != picture).any()


def test_compression_is_real() -> None:
    picture = data.astronaut()[:256, :256]
    fine, coarse = (degrade(picture, Degradation(h264_crf=crf)).astype(int) for crf in (12, 40))
    assert np.abs(fine - picture).mean() < np.abs(coarse - picture).mean() / 2


def test_the_moderate_recipe_stays_in_its_ranges() -> None:
    rng = np.random.default_rng(0)
    draws = [moderate(rng) for _ in range(200)]
    assert all(0 <= d.blur_sigma <= 8 and 1 <= d.downscale <= 8 and 0 <= d.noise <= 15 for d in draws)
    assert {d.jpeg_quality for d in draws} <= set(range(60, 101))


def test_mirrored_landmarks_are_the_landmarks_of_the_mirror_image() -> None:
    twice = mirrored_points(mirrored_points(ASTRONAUT, 512), 512)
    np.testing.assert_array_equal(twice, ASTRONAUT)
    mirrored = mirrored_points(ASTRONAUT, 512)
    assert mirrored[36, 0] < mirrored[45, 0] and mirrored[0, 0] < mirrored[16, 0] and mirrored[48, 0] < mirrored[54, 0]


def test_area_under_curve_by_hand() -> None:
    # Of the 2 x 3 pairs, five have the same-person value above: 5 / 6.
    assert area_under_curve(np.array([0.9, 0.5]), np.array([0.1, 0.6, 0.2])) == pytest.approx(5 / 6)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate_at(progress) for progress in (0.0, 0.01, 0.02, 0.5, 1.0)]
    assert rates[0] == 0 and rates[2] == pytest.approx(1) and rates[4] == pytest.approx(0, abs=1e-9)
    assert rates[1] < rates[2] > rates[3] > rates[4]
