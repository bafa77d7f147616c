from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from faces import ASTRONAUT, track, video_info
from PIL import Image as Pillow
from skimage import data

from vidrestore.alignment import crop_face
from vidrestore.config import FacesSettings, RestorationSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.errors import ConfigError, PictureError
from vidrestore.metrics import psnr
from vidrestore.photographs import SAME_PERSON, PhotographedPerson, read_people, reference_from_photo, with_photographs
from vidrestore.types import Analysis, Detector, Face, Floats, Identity, Image, Reference, Shot, Span

PORTRAITS = REPOSITORY.parent / "shared" / "portraits"
STRANGER = "london_096_1.jpg"
needs_stranger = pytest.mark.skipif(
    not (PORTRAITS / STRANGER).is_file(), reason=f"needs a second real face, {STRANGER} in the shared portraits"
)
ALIGNED = crop_face(data.astronaut(), Face(0, None, ASTRONAUT, 1.0))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(FacesSettings(), "cpu")


@pytest.fixture(scope="module")
def astronaut(detector: Detector) -> Floats:
    """Who the astronaut is."""
    embedding = detector.embed(data.astronaut(), ASTRONAUT)
    assert embedding is not None
    return embedding


def save(path: Path, image: Image, orientation: int | None = None) -> Path:
    """A JPEG as cameras write it, perhaps with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Pillow.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Pillow.fromarray(image).save(path, quality=95, exif=exif)
    return path


def photo(zoom: float = 1.0, brightness: float = 1.0) -> Image:
    image = cv2.resize(data.astronaut(), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    return (image * brightness).clip(0, 255).astype(np.uint8)


def stranger() -> Image:
    return np.ascontiguousarray(cv2.imread(str(PORTRAITS / STRANGER))[:, :, ::-1])


def side_by_side(*pictures: Image) -> Image:
    height = max(picture.shape[0] for picture in pictures)
    return np.hstack([cv2.copyMakeBorder(p, 0, height - len(p), 0, 0, cv2.BORDER_REPLICATE) for p in pictures])


def test_the_face_of_a_photo_is_aligned(tmp_path: Path, detector: Detector, astronaut: Floats) -> None:
    reference = reference_from_photo(save(tmp_path / "eileen.jpg", data.astronaut()), detector, None)
    assert reference.image.shape == (512, 512, 3)
    # Landmarks found and those set by eye differ by some pixels.
    assert np.linalg.norm(reference.landmarks - ALIGNED.landmarks, axis=1).mean() < 12
    look = detector.embed(reference.image, reference.landmarks)
    assert float(look @ astronaut) >= SAME_PERSON
    assert reference.reason.startswith("the user's photograph eileen.jpg, sharp (0.")


@pytest.mark.parametrize(("orientation", "turns"), [(6, 1), (3, 2), (8, 3)])
def test_exif_orientation_is_honoured(tmp_path: Path, detector: Detector, orientation: int, turns: int) -> None:
    """Stored turned counter-clockwise by so many quarters, with the tag that turns it back."""
    upright = reference_from_photo(save(tmp_path / "upright.png", data.astronaut()), detector, None)
    stored = np.ascontiguousarray(np.rot90(data.astronaut(), turns))
    turned = reference_from_photo(save(tmp_path / "turned.jpg", stored, orientation), detector, None)
    assert psnr(turned.image, upright.image) > 25


@needs_stranger
def test_of_two_faces_the_person_is_taken(tmp_path: Path, detector: Detector, astronaut: Floats) -> None:
    both = save(tmp_path / "both.jpg", side_by_side(photo(0.8), stranger()))
    person = reference_from_photo(both, detector, astronaut)
    largest = reference_from_photo(both, detector, None)
    looks = [detector.embed(r.image, r.landmarks) for r in (person, largest)]
    assert float(looks[0] @ astronaut) >= SAME_PERSON
    assert float(looks[1] @ astronaut) < SAME_PERSON
    alone = save(tmp_path / "stranger.jpg", stranger())
    with pytest.raises(PictureError, match=r"stranger.jpg does not show this person.*similarity of .* needed are 0.45"):
        reference_from_photo(alone, detector, astronaut)


def test_what_cannot_be_a_reference_is_told(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(PictureError, match="there is no picture"):
        reference_from_photo(tmp_path / "missing.jpg", detector, None)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"text.jpg cannot be read as a picture"):
        reference_from_photo(tmp_path / "text.jpg", detector, None)
    with pytest.raises(PictureError, match=r"no face was found in .*coffee.jpg"):
        reference_from_photo(save(tmp_path / "coffee.jpg", data.coffee()), detector, None)
    with pytest.raises(PictureError, match=r"the face in .*small.jpg is too small: its eyes are 1\d pixels apart"):
        reference_from_photo(save(tmp_path / "small.jpg", photo(0.4)), detector, None)


def test_a_folder_for_each_person(tmp_path: Path, detector: Detector, astronaut: Floats) -> None:
    save(tmp_path / "Eileen" / "a.jpg", photo(1.0))
    save(tmp_path / "Eileen" / "dark.jpg", photo(1.0, 0.4))
    save(tmp_path / "Eileen" / "coffee.jpg", data.coffee())
    people = read_people(tmp_path, detector)
    assert list(people) == ["Eileen"]
    references = people["Eileen"].references
    assert [Path(reference.source).name for reference in references] == ["a.jpg", "dark.jpg"]
    assert float(people["Eileen"].embedding @ astronaut) >= SAME_PERSON
    (note,) = people["Eileen"].notes
    assert note.startswith("left out of the photographs of Eileen: no face was found in")


@needs_stranger
def test_the_face_that_recurs_is_the_person(tmp_path: Path, detector: Detector, astronaut: Floats) -> None:
    save(tmp_path / "Eileen" / "both.jpg", side_by_side(photo(0.8), stranger()))
    with pytest.raises(PictureError, match="the only photograph of Eileen shows 2 faces"):
        read_people(tmp_path, detector)
    save(tmp_path / "Eileen" / "later.jpg", photo(1.2))
    save(tmp_path / "Eileen" / "earlier.jpg", photo(0.9, 0.8))
    person = read_people(tmp_path, detector)["Eileen"]
    looks = [detector.embed(reference.image, reference.landmarks) for reference in person.references]
    assert len(looks) == 3
    assert min(float(look @ astronaut) for look in looks) >= SAME_PERSON


def test_aligned_pictures_with_landmarks_are_taken_as_they_are(tmp_path: Path, detector: Detector) -> None:
    numbers = " ".join(f"{value:.3f}" for value in ALIGNED.landmarks.ravel())
    beside = save(tmp_path / "Beside" / "1.png", ALIGNED.image)
    beside.with_suffix(".txt").write_text(numbers)
    save(tmp_path / "Apart" / "references" / "1.png", ALIGNED.image)
    (tmp_path / "Apart" / "landmarks").mkdir()
    (tmp_path / "Apart" / "landmarks" / "1.png.txt").write_text(numbers.replace(" ", "\n"))
    people = read_people(tmp_path, detector)
    for name in ("Beside", "Apart"):
        (reference,) = people[name].references
        assert np.array_equal(reference.image, ALIGNED.image)
        np.testing.assert_allclose(reference.landmarks, ALIGNED.landmarks, atol=1e-3)
    beside.with_suffix(".txt").write_text("1 2 3")
    with pytest.raises(PictureError, match=r"no photograph of Beside that can be used: .*1.txt .*136"):
        read_people(tmp_path, detector)


def test_a_folder_that_is_no_folder_of_people_is_told(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(PictureError, match=r"there is no folder .*nothing"):
        read_people(tmp_path / "nothing", detector)
    with pytest.raises(PictureError, match="there are no folders in"):
        read_people(tmp_path, detector)
    save(tmp_path / "loose.jpg", photo())
    with pytest.raises(PictureError, match=r"loose.jpg lies loose in .* make a folder for each person"):
        read_people(tmp_path, detector)
    (tmp_path / "loose.jpg").unlink()
    (tmp_path / "Ada").mkdir()
    with pytest.raises(PictureError, match="no photograph of Ada that can be used: the folder holds no pictures"):
        read_people(tmp_path, detector)


def direction(degrees: float) -> Floats:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], dtype=np.float32)


def picture_of(source: str) -> Reference:
    return Reference(ALIGNED.image, ALIGNED.landmarks, source, 0.6, 0.5, "for the test")


def analysis_of(*people: tuple[str, float]) -> Analysis:
    """An analysis of people with embeddings at so many degrees, two pictures of the video each."""
    identities = tuple(
        Identity(i, name, (i,), direction(degrees), (picture_of(f"pts {10 * i}"), picture_of(f"pts {10 * i + 1}")))
        for i, (name, degrees) in enumerate(people)
    )
    tracks = tuple(track(i, [0, 1], ALIGNED.landmarks) for i in range(len(people)))
    video = replace(video_info(), time_base=Fraction(1, 25))
    return Analysis(video, "x", Span(), 2, (Shot(0, 1),), tracks, identities, "x", "x")


def person(degrees: float, *sources: str) -> PhotographedPerson:
    return PhotographedPerson(tuple(picture_of(source) for source in sources), direction(degrees))


def sources(analysis: Analysis) -> list[list[str]]:
    return [[reference.source for reference in identity.references] for identity in analysis.identities]


def test_people_are_matched_by_name_then_by_looks() -> None:
    found = analysis_of(("Ada", 0), ("person 2", 90))
    photographed = {"ADA": person(45, "ada.jpg"), "Bob": person(80, "bob.jpg")}
    changed, notes = with_photographs(found, photographed, 2)
    assert sources(changed) == [["ada.jpg", "pts 0"], ["bob.jpg", "pts 10"]]
    assert notes == []
    assert sources(found) == [["pts 0", "pts 1"], ["pts 10", "pts 11"]]


def test_the_photographs_of_nobody_are_not_used_and_it_is_said() -> None:
    found = analysis_of(("person 1", 0), ("person 2", 60))
    photographed = {"Bob": person(-80, "bob.jpg"), "Cleo": person(30, "cleo.jpg")}
    changed, notes = with_photographs(found, photographed, 8)
    assert sources(changed) == sources(found)
    assert notes[0].startswith("the photographs of Bob look like nobody in the video and are not used: most alike are ")
    assert "person 1 (0.17)" in notes[0]
    assert notes[1].startswith("it is not clear of whom the photographs of Cleo are")


def test_references_are_of_no_use_to_the_generic_mode(tmp_path: Path) -> None:
    from vidrestore.api.references import photographed_people

    settings = Settings(restoration=RestorationSettings(mode="generic"))
    assert photographed_people(None, settings) == {}
    with pytest.raises(ConfigError, match="leave --references out"):
        photographed_people(tmp_path, settings)


def test_preview_takes_references(tmp_path: Path, command) -> None:
    save(tmp_path / "people" / "Eileen" / "a.jpg", photo(1.0))
    save(tmp_path / "people" / "Nobody" / "mirrored.jpg", stranger() if PORTRAITS.is_dir() else photo(0.9))
    sample = REPOSITORY / "samples" / "astronaut_clean.mp4"
    done = command(
        "preview", sample, "-o", tmp_path / "out.png", "--frame", "0.4",
        "--references", tmp_path / "people", "--work", tmp_path / "work",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (tmp_path / "out.png").is_file()
    if PORTRAITS.is_dir():
        assert "the photographs of Nobody look like nobody in the video" in done.err
    failed = command("preview", sample, "-o", tmp_path / "out.mp4", "--references", tmp_path / "missing")
    assert failed.code == 3
    assert "there is no folder" in failed.err
