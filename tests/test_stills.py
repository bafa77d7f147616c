"""Still pictures: read and written with what is known of them; one, a folder and a list are restored and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import faces
import numpy as np
import pytest
from conftest import REPOSITORY, Finished
from media import packets
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data

from vidrestore import cli
from vidrestore.alignment import crop_face
from vidrestore.api.stills import is_stills
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.errors import PictureError
from vidrestore.gallery import analyze_gallery
from vidrestore.image_files import read_still, write_still
from vidrestore.types import Span
from vidrestore.video import VideoWriter, read_frames

Run = Callable[..., Finished]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_MAKER, _EXPOSURE, _CAMERA, _TURNED = 0x010F, 0x829A, 0x8769, 0x0112


def small_face(side: int = 200) -> NDArray[np.uint8]:
    """The astronaut's head and shoulders, so coarse that there is something to restore."""
    close = data.astronaut()[40:240, 120:320]
    coarse = cv2.resize(close, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def save(path: Path, image: NDArray[np.uint8], **options: Any) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


# files


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_a_picture_keeps_what_is_known_of_it(tmp_path: Path, extension: str) -> None:
    exif = Image.Exif()
    exif[_MAKER], exif[_TURNED] = "Maker", 6
    exif[_CAMERA] = {_EXPOSURE: (1, 100)}
    smooth = cv2.resize(noise(4, 6, 3), (60, 40), interpolation=cv2.INTER_CUBIC)
    source = save(tmp_path / "in.jpg", smooth, exif=exif, icc_profile=PROFILE, quality=98, subsampling=0)
    still = read_still(source)
    # Orientation 6: the camera was turned, so the picture is shown a quarter turn clockwise.
    assert np.abs(still.image.astype(int) - np.rot90(smooth, -1)).mean() < 2
    assert any("turned upright" in note for note in still.notes)
    output = tmp_path / f"out{extension}"
    assert write_still(output, still, still.image, "restored") == []
    with Image.open(output) as stored:
        found = stored.getexif()
        assert (found[_MAKER], found[0x000B], found.get(_TURNED, 1)) == ("Maker", "restored", 1)
        assert float(found.get_ifd(_CAMERA)[_EXPOSURE][0]) == 1
        assert stored.info["icc_profile"] == PROFILE
    loss = np.abs(read_still(output).image.astype(int) - still.image).max()
    assert loss == 0 or (extension == ".jpg" and loss < 12)


def test_transparency_is_kept_where_the_format_has_it(tmp_path: Path) -> None:
    still = read_still(save(tmp_path / "in.png", noise(20, 30, 4)))
    assert write_still(tmp_path / "out.webp", still, still.image) == []
    assert np.array_equal(read_still(tmp_path / "out.webp").alpha, noise(20, 30, 4)[..., 3])
    (note,) = write_still(tmp_path / "out.jpg", still, still.image)
    assert "no transparency" in note


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    still = read_still(save(tmp_path / "in.png", noise(20, 30)))
    write_still(tmp_path / "out.png", still, still.image)
    with Image.open(tmp_path / "out.png") as stored:
        assert stored.mode == "L" and np.array_equal(np.asarray(stored), noise(20, 30))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_16_bits_become_8_and_that_is_said(tmp_path: Path, extension: str, channels: int) -> None:
    deep = noise(20, 30, channels).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f"in{extension}"), deep[..., ::-1])
    still = read_still(tmp_path / f"in{extension}")
    assert np.array_equal(still.image[..., :channels], noise(20, 30, channels))
    assert any("16 bits" in note for note in still.notes)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "junk.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    whole = save(tmp_path / "whole.jpg", noise(64, 64, 3)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name, told in (("junk.png", "cannot be read"), ("cut.jpg", "cannot be read"), ("none.png", "no picture")):
        with pytest.raises(PictureError, match=told):
            read_still(tmp_path / name)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    still = read_still(save(tmp_path / "in.png", noise(20, 30, 3)))
    (tmp_path / "out.png").mkdir()
    with pytest.raises(PictureError, match="could not be written"):
        write_still(tmp_path / "out.png", still, still.image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]


def test_what_counts_as_stills(tmp_path: Path, clip: Path) -> None:
    nameless = save(tmp_path / "scan.png", noise(20, 30, 3)).rename(tmp_path / "scan")
    assert is_stills(nameless) and is_stills(tmp_path) and is_stills(tmp_path / "none.jpeg")
    assert not is_stills(clip) and not is_stills(tmp_path / "none.mp4")


# one picture


def test_a_picture_is_restored_where_its_face_is(tmp_path: Path, command: Run) -> None:
    whole = data.astronaut().copy()
    whole[40:240, 120:320] = small_face()
    source, output = save(tmp_path / "in.png", whole), tmp_path / "out.png"
    done = command("restore", source, "-o", output, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["frames"], result["faces"], result["faces_restored"], result["unreadable"]) == (1, 1, 1, {})
    after = read_still(output).image
    box = [184 - 80, 91 - 80, 265 + 80, 168 + 80]
    changed = np.argwhere((after != whole).any(axis=2))
    assert (changed.min(axis=0) > box[1::-1]).all() and (changed.max(axis=0) < box[:1:-1]).all()
    truth = data.astronaut()[90:170, 184:266].astype(float)
    error = [np.square(image[90:170, 184:266] - truth).mean() for image in (whole, after)]
    assert error[1] < error[0]


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("in.png", 3, "is the input itself"),
        ("out.gif", 3, "no extension of a picture"),
        ("none/out.png", 3, "does not exist"),
    ],
)
def test_a_picture_that_cannot_be_written(tmp_path: Path, command: Run, output: str, code: int, told: str) -> None:
    source = save(tmp_path / "in.png", noise(20, 30, 3))
    before = source.read_bytes()
    done = command("restore", source, "-o", tmp_path / output)
    assert (done.code, told in done.err, "Traceback" in done.err) == (code, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"] and source.read_bytes() == before


def test_what_goes_with_videos_only(tmp_path: Path, command: Run) -> None:
    source = save(tmp_path / "in.png", noise(20, 30, 3))
    done = command("restore", source, "-o", tmp_path / "out.png", "--personalize")
    assert done.code == cli.USAGE and "--personalize goes with restoring a video" in done.err


# a folder


def test_a_folder_is_restored_and_what_cannot_be_read_is_named(tmp_path: Path, command: Run) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    save(source / "face.png", small_face())
    save(source / "cup.png", data.coffee()[:200, :200])
    (source / "bad.jpg").write_text("no picture")
    done = command("restore", source, "-o", output, "--json")
    result = json.loads(done.out)
    assert done.code == cli.INPUT_OUTPUT
    assert list(result["unreadable"]) == [str(source / "bad.jpg")]
    assert sorted(path.name for path in output.iterdir()) == ["cup.png", "face.png"]
    assert (result["frames"], result["faces_restored"], result["people"]) == (2, 1, 1)
    assert np.array_equal(read_still(output / "cup.png").image, data.coffee()[:200, :200])


@pytest.mark.parametrize(("fill", "told"), [(False, "a folder without pictures"), (True, "cannot be read")])
def test_a_folder_without_anything_to_restore(tmp_path: Path, command: Run, fill: bool, told: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if fill:
        (source / "bad.jpg").write_text("no picture")
    done = command("restore", source, "-o", tmp_path / "out")
    assert done.code == cli.INPUT_OUTPUT and told in done.err and "Traceback" not in done.err


def test_a_folder_is_never_restored_into_itself(tmp_path: Path, command: Run) -> None:
    save(tmp_path / "in.png", noise(20, 30, 3))
    done = command("restore", tmp_path, "-o", tmp_path)
    assert done.code == cli.INPUT_OUTPUT and "folder of the input itself" in done.err


def test_a_person_on_several_pictures_has_references_and_one_on_a_single_picture_none() -> None:
    settings = Settings()
    detector = build_detector(settings.faces, "cpu")
    sharp, coarse = data.astronaut()[:260, 80:360], small_face()

    def people(*pictures: NDArray[np.uint8]) -> list[tuple[tuple[int, ...], set[str]]]:
        found = analyze_gallery(enumerate(pictures), Path(), detector, settings, lambda _: None, len(pictures))
        return [(person.track_ids, {r.source for r in person.references}) for person in found.identities]

    assert people(sharp) == [((0,), set())]
    ((tracks, sources),) = people(coarse, data.coffee()[:200, :200], sharp)
    assert tracks == (0, 1)
    assert "pts 2" in sources


# a list


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of two pictures, one of them with a reference."""
    save(tmp_path / "one.png", small_face())
    save(tmp_path / "two.png", small_face(220))
    crop = crop_face(data.astronaut(), faces.face(faces.ASTRONAUT))
    for name in ("references", "landmarks"):
        (tmp_path / name).mkdir()
    save(tmp_path / "references" / "a.png", crop.image)
    text = "\n".join(f"{x:.2f} {y:.2f}" for x, y in crop.landmarks)
    (tmp_path / "landmarks" / "a.txt").write_text(text)
    path = tmp_path / "list.txt"
    path.write_text("one.png\treferences\tlandmarks\n\ntwo.png\n")
    return path


def test_a_list_gives_generic_and_specific_results(listed: Path, command: Run) -> None:
    output = listed.parent / "out"
    done = command("restore", listed, "-o", output, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["faces_restored"] == 3
    found = sorted(str(path.relative_to(output)) for path in output.rglob("*.png"))
    assert found == ["generic/one.png", "generic/two.png", "specific/one.png"]
    generic, specific = (read_still(output / kind / "one.png").image for kind in ("generic", "specific"))
    assert (generic != small_face()).any() and (specific != generic).any()


def test_a_list_is_checked(listed: Path, command: Run) -> None:
    output = listed.parent / "out"
    done = command("restore", listed, "-o", output, "--check", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["faces"] == 2
    assert [str(path.relative_to(output)) for path in sorted(output.rglob("*.png"))] == [
        "check/one.png",
        "check/two.png",
    ]
    assert (read_still(output / "check" / "one.png").image != small_face()).mean() > 0.02


@pytest.mark.parametrize(
    ("content", "flags", "told"),
    [
        ("one.png\treferences\n", [], "line 1: 2 columns"),
        ("one.png\n\nsub/one.png\n", [], "would have one name"),
        ("one.png\tnone\tlandmarks\n", [], "there is no folder none"),
        ("one.png\treferences\treferences\n", [], "has no landmarks"),
        ("one.png\treferences\tlandmarks\n", ["short"], "holds 3 numbers, expected the 136"),
        ("one.png\n", ["--mode", "specific"], "no line of the list names references"),
        ("\n", [], "names no pictures"),
    ],
)
def test_a_list_that_is_wrong(listed: Path, command: Run, content: str, flags: list[str], told: str) -> None:
    listed.write_text(content)
    if flags == ["short"]:
        (listed.parent / "landmarks" / "a.txt").write_text("1 2 3")
        flags = []
    done = command("restore", listed, "-o", listed.parent / "out", *flags)
    assert done.code in (cli.USAGE, cli.INPUT_OUTPUT)
    assert told in done.err and "Traceback" not in done.err


# checks of a video


def test_a_video_is_drawn_with_its_streams(tmp_path: Path, command: Run) -> None:
    sample, clip, output = REPOSITORY / "samples" / "astronaut_old.mp4", tmp_path / "in.mp4", tmp_path / "out.mp4"
    span = Span(0, 0.32)
    with VideoWriter(sample, clip, span=span) as writer:
        for frame in read_frames(sample, span):
            writer.write(frame)
    done = command("restore", clip, "-o", output, "--check", "--json", "--work", tmp_path / "work")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["frames"], result["faces"], result["people"]) == (8, 8, 1)
    assert packets(output, "audio") == packets(clip, "audio") != []
    pairs = list(zip(read_frames(clip), read_frames(output), strict=True))
    assert [before.pts for before, _ in pairs] == [after.pts for _, after in pairs]
    # Lines and letters of full contrast, on about a tenth of the picture.
    assert all(
        (np.abs(before.image.astype(int) - after.image).max(axis=2) > 60).mean() > 0.01 for before, after in pairs
    )
