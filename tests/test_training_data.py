"""Plain folders of pictures, and a video's references, become something to train on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Finished
from faces import ASTRONAUT, track, video_info
from PIL import Image as Pillow
from skimage import data

from vidrestore import store
from vidrestore.alignment import alignment_matrix, cut_aligned
from vidrestore.config import FacesSettings
from vidrestore.detectors import build_detector
from vidrestore.face_quality import sharpness
from vidrestore.geometry import transform
from vidrestore.training.portraits import list_portraits, read_rgb
from vidrestore.training.survey import NO_FACE, SEVERAL_FACES, UNREADABLE, Survey, survey_groups, survey_portraits
from vidrestore.types import Analysis, Detector, Identity, Reference, Shot, Span

ORIENTATION = 274
PHOTOGRAPH = data.astronaut()[:300, 80:380]
POINTS = ASTRONAUT - (80, 0)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(FacesSettings(), "cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in sub-folders, a loose picture, and pictures of no use."""
    root = tmp_path_factory.mktemp("plain")
    darker = (0.8 * PHOTOGRAPH).astype(np.uint8)
    larger = cv2.resize(PHOTOGRAPH, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    # As a camera held sideways stores it: turned, with a note of how to turn it back.
    note = Pillow.Exif()
    note[ORIENTATION] = 6
    pictures = {"anna/one.PNG": PHOTOGRAPH, "anna/two.webp": darker, "bert/three.jpg": larger, "loose.png": darker}
    useless = {"anna/rocket.jpg": data.rocket(), "bert/pair.jpg": np.hstack((PHOTOGRAPH, darker))}
    for name, picture in (pictures | useless).items():
        (root / name).parent.mkdir(exist_ok=True)
        Pillow.fromarray(picture).save(root / name)
    (root / "cleo").mkdir()
    Pillow.fromarray(np.rot90(PHOTOGRAPH)).save(root / "cleo" / "sideways.jpg", exif=note, quality=95)
    (root / "bert" / "broken.jpg").write_text("no picture")
    (root / "notes.txt").write_text("no picture either")
    return root


@pytest.fixture(scope="module")
def surveyed(plain: Path, detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    before = sorted(plain.rglob("*"))
    kept = tmp_path_factory.mktemp("kept")
    yield survey_portraits(plain, kept, lambda: detector, seed=0, min_face_width=120, on_progress=lambda _: None)
    assert sorted(plain.rglob("*")) == before, "something was written into the user's folder"


def test_people_are_sub_folders_and_useless_pictures_are_counted(surveyed: Survey) -> None:
    assert surveyed.left_out == {NO_FACE: 1, SEVERAL_FACES: 1, UNREADABLE: 1}
    (warning,) = surveyed.warnings()
    assert "left out" in warning and "1 where more than one face was found, 1 where no face was found" in warning
    portraits = [*list_portraits(surveyed.folder, "train"), *list_portraits(surveyed.folder, "val")]
    assert sorted(f"{p.person}/{p.path.name}" for p in portraits) == [
        "anna/one.PNG",
        "anna/two.webp",
        "bert/three.jpg",
        "cleo/sideways.jpg",
        "loose/loose.png",
    ]


def test_landmarks_are_found_also_in_pictures_that_were_taken_sideways(surveyed: Survey) -> None:
    rows = {p.path.name: p for split in ("train", "val") for p in list_portraits(surveyed.folder, split)}
    for name, scale in (("one.PNG", 1), ("three.jpg", 2), ("sideways.jpg", 1)):
        off = np.linalg.norm(rows[name].landmarks / scale - POINTS, axis=1).mean()
        assert off < 6, name
        assert read_rgb(rows[name].path).shape == (300 * scale, 300 * scale, 3)


def test_only_large_sharp_faces_are_learnt_to_be_restored(surveyed: Survey) -> None:
    rows = json.loads((surveyed.folder / "annotations.json").read_text())
    sharp = {Path(row["file"]).name for row in rows if row.get("hq")}
    assert sharp == {"three.jpg"}


def test_the_split_is_by_person_and_seeded(plain: Path, detector: Detector, surveyed: Survey, tmp_path: Path) -> None:
    people = {split: {p.person for p in list_portraits(surveyed.folder, split)} for split in ("train", "val")}
    assert people["train"] and len(people["val"]) == 1 and not people["train"] & people["val"]
    assert "by person, seed 0" in surveyed.split

    def held_out(seed: int) -> set[str]:
        survey = survey_portraits(
            plain, tmp_path, lambda: detector, seed=seed, min_face_width=0, on_progress=lambda _: None
        )
        return {p.person for p in list_portraits(survey.folder, "val")}

    drawn = [held_out(seed) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len({frozenset(names) for names in drawn}) > 1


def test_a_second_look_takes_what_the_first_one_found(plain: Path, surveyed: Survey) -> None:
    class Blind:
        name = "compact"

        def detect(self, _: np.ndarray) -> list:
            raise AssertionError("looked again")

    again = survey_portraits(
        plain,
        surveyed.folder,
        Blind,
        seed=0,
        min_face_width=120,
        on_progress=lambda _: None,  # type: ignore[arg-type]
    )
    assert again == surveyed


def test_groups_are_annotated_by_our_own_detector(plain: Path, detector: Detector, tmp_path: Path) -> None:
    survey = survey_groups(plain / "bert", tmp_path, lambda: detector, lambda _: None)
    rows = json.loads((survey.folder / "annotations.json").read_text())["images"]
    assert {Path(row["file"]).name: len(row["faces"]) for row in rows} == {
        "broken.jpg": 0,
        "pair.jpg": 2,
        "three.jpg": 1,
    }
    assert survey.left_out == {UNREADABLE: 1}


def _analysis() -> Analysis:
    """One person with three references, in a track whose face is 80 pixels wide."""
    matrix = alignment_matrix(ASTRONAUT)
    picture, points = cut_aligned(data.astronaut(), matrix), transform(matrix, ASTRONAUT)
    references = tuple(
        Reference(np.roll(picture, shift, axis=1), points, f"pts {shift}", sharpness(picture), 0.9, "for the test")
        for shift in range(3)
    )
    person = Identity(0, "person 1", (4,), None, references)
    return Analysis(
        video=dataclasses.replace(video_info(), time_base=Fraction(1, 25)),
        fingerprint="test",
        span=Span(),
        frame_count=3,
        shots=(Shot(0, 2),),
        tracks=(track(4, [0, 1, 2], ASTRONAUT),),
        identities=(person, dataclasses.replace(person, id=1, name="person 2", enabled=False)),
        settings_digest="test",
        faces_model="compact",
    )


def test_a_restorer_is_fine_tuned_on_the_references_of_ones_own_footage(
    tmp_path: Path, command: Callable[..., Finished]
) -> None:
    work, output = tmp_path / "clip.mp4.vidrestore", tmp_path / "run"
    store.save(_analysis(), work)
    arguments = (
        "train", "restorer", "--portraits", work, "--initial", "compact", "--learning-rate", "1e-5", "-o", output,
        "--steps", "1", "--batch", "1", "--threads", "1", "--device", "cpu", "--json",
    )  # fmt: skip
    refused = command(*arguments)
    assert refused.code == 2
    assert "large and sharp enough" in refused.err and "--min-face-width" in refused.err
    done = command(*arguments, "--min-face-width", "60")
    assert done.code == 0, done.err
    record = json.loads((output / "recipe.json").read_text())
    assert record["data"]["portraits"]["made_from"] == "footage"
    assert record["data"]["portraits"]["split"] == "by picture, seed 0"
    assert record["data"]["portraits"]["pictures"] == {
        "train": {"pictures": 2, "people": 1, "sharp": 2},
        "val": {"pictures": 1, "people": 1, "sharp": 1},
    }
    assert record["initial_sha256"] and record["settings"]["initial"] == "compact"
    assert sorted(path.name for path in work.iterdir()) == ["analysis.json", "analysis.npz"]
    # One small step away from where it began: the gain of the embedded weights is still there.
    assert json.loads(done.out)["figures"]["val_psnr_gain"] == pytest.approx(0, abs=3)
