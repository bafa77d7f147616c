from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from vidrestore.errors import ConfigError
from vidrestore.shots import CutFinder, ShotSettings
from vidrestore.types import Image

CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def cuts(pictures: Iterable[Image], settings: ShotSettings | None = None) -> list[int]:
    finder = CutFinder(settings)
    new = [finder.frames_in_new_shot(picture) for picture in pictures]
    return [index + 1 - frames for index, frames in enumerate(new) if frames]


def view(picture: Image, left: int, top: int = 100) -> Image:
    """A window of 200 x 320 pixels that may leave the picture on the right, where it goes on mirrored."""
    wide = np.concatenate([picture, picture[:, ::-1]], axis=1)
    return np.ascontiguousarray(wide[top : top + 200, left : left + 320])


@pytest.fixture(scope="module")
def person() -> list[Image]:
    picture = data.astronaut()
    return [view(picture, 40 + index, 20) for index in range(20)]


@pytest.fixture(scope="module")
def coffee() -> list[Image]:
    picture = data.coffee()
    return [view(picture, 100 - 2 * index) for index in range(20)]


def test_a_cut_is_the_first_frame_of_the_new_shot(person: list[Image], coffee: list[Image]) -> None:
    assert cuts([*person, *coffee, *person]) == [20, 40]


def test_the_first_frame_is_no_cut(person: list[Image]) -> None:
    assert cuts(person[:1]) == []


def test_grey_pictures_of_one_brightness_are_told_apart(person: list[Image], coffee: list[Image]) -> None:
    def grey(picture: Image) -> Image:
        flat = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        return cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB)

    assert cuts([grey(picture) for picture in [*person, *coffee]]) == [20]


def test_light_is_no_cut(person: list[Image]) -> None:
    rng = np.random.default_rng(0)
    flickering = [np.clip(p * (1 + 0.3 * rng.standard_normal()), 0, 255).astype(np.uint8) for p in person]
    assert cuts(flickering) == []
    fading = [(p * (1 - index / 19)).astype(np.uint8) for index, p in enumerate(person)]
    assert cuts([*fading, *fading[::-1]]) == []


@pytest.mark.parametrize("level", [0, 255])
def test_flashes_and_black_frames_are_no_cut(person: list[Image], level: int) -> None:
    flash = np.full_like(person[0], level)
    assert cuts([*person[:10], flash, *person[10:]]) == []
    overexposed = np.clip(person[10].astype(int) * 2 + 50, 0, 255).astype(np.uint8)
    assert cuts([*person[:10], overexposed, *person[10:]]) == []


def test_a_cut_through_black_is_found_where_the_picture_comes_back(person: list[Image], coffee: list[Image]) -> None:
    black = np.zeros_like(person[0])
    assert cuts([*person, black, black, *coffee]) == [22]


def test_a_picture_that_comes_back_at_once_does_not_cut_twice(person: list[Image], coffee: list[Image]) -> None:
    broken = [*person[:10], coffee[0], *person[10:]]
    assert cuts(broken) == [10]
    assert cuts(broken, ShotSettings(flash_frames=0)) == [10, 11]


@pytest.mark.parametrize("speed", [4, 16, 48])
def test_pans_are_no_cut(speed: int) -> None:
    wide = data.astronaut()
    assert cuts(view(wide, left) for left in range(0, 640, speed)) == []


def test_zoom_is_no_cut() -> None:
    picture = data.astronaut()
    zoom = [cv2.resize(picture[i * 8 : 512 - i * 8, i * 8 : 512 - i * 8], (320, 320)) for i in range(20)]
    assert cuts([*zoom, *zoom[::-1], *zoom]) == []


def mixed(before: list[Image], after: list[Image], frames: int) -> list[Image]:
    """``before`` dissolves into ``after``; both move, and the first mixture has index 20."""
    shares = np.arange(1, frames + 1) / (frames + 1)
    held = [before[-1]] * frames, [after[0]] * frames
    between = [cv2.addWeighted(a, 1 - s, b, s, 0) for a, b, s in zip(*held, shares, strict=True)]
    return [*before, *between, *after]


@pytest.mark.parametrize("frames", [4, 8, 15, 30, 48])
def test_a_dissolve_is_a_cut_in_its_middle(person: list[Image], coffee: list[Image], frames: int) -> None:
    calm = [coffee[index // 4] for index in range(20)]
    (cut,) = cuts(mixed(person, calm, frames))
    assert abs(cut - (20 + frames / 2)) <= 1 + frames / 15


def test_dissolves_can_be_left_alone(person: list[Image], coffee: list[Image]) -> None:
    assert cuts(mixed(person, coffee, 15), ShotSettings(dissolve_frames=0)) == []


def test_a_dissolve_in_grain_is_found(person: list[Image], coffee: list[Image]) -> None:
    rng = np.random.default_rng(3)
    grain = [p + rng.normal(0, 20, p.shape) for p in mixed(person, coffee, 16)]
    (cut,) = cuts([np.clip(p, 0, 255).astype(np.uint8) for p in grain])
    assert 26 <= cut <= 30


def test_a_fade_through_black_is_one_cut(person: list[Image], coffee: list[Image]) -> None:
    levels = np.linspace(1, 0, 12)
    out = [(person[-1] * level).astype(np.uint8) for level in levels]
    into = [(coffee[0] * level).astype(np.uint8) for level in levels[::-1]]
    (cut,) = cuts([*person, *out, *into, *coffee])
    assert 31 <= cut <= 36  # near black, where the new picture begins to show
    back = [(person[-1] * level).astype(np.uint8) for level in levels[::-1]]
    assert cuts([*person, *out, *back, *person[::-1]]) == []


@pytest.mark.parametrize("strength", [20, 60])
def test_cuts_are_found_in_grain_and_grain_is_none(person: list[Image], coffee: list[Image], strength: int) -> None:
    rng = np.random.default_rng(5)
    grain = [p + rng.normal(0, strength, p.shape) for p in [*person, *coffee]]
    assert cuts([np.clip(p, 0, 255).astype(np.uint8) for p in grain]) == [20]


def test_a_picture_of_another_aspect_is_a_cut(person: list[Image]) -> None:
    assert cuts([person[0], person[1], np.ascontiguousarray(person[2][:, :200]), person[3]]) == [2, 3]


@pytest.mark.parametrize(
    "wrong", [{"min_explained": 1.5}, {"memory_frames": 1}, {"flash_frames": -1}, {"dissolve_frames": -2}]
)
def test_settings_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"shots.{next(iter(wrong))} is .* allowed"):
        ShotSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no real clips at {CLIPS}")
@pytest.mark.parametrize(
    "name",
    [
        "interview_edit_270p_degraded.mp4",
        "interview_vfr_360p.mp4",
        "tos_bridge_208p.mp4",
        "archival_army_1950s_bw.mp4",
        "chaplin_bw_silent.mp4",
        "webcam_single_400x300.mp4",
        "carphone_qcif_degraded.mp4",
        "two_people_gif_270p.mp4",
        "interlaced_tff_480i.mpg",
    ],
)
def test_real_clips_have_exactly_their_cuts(name: str) -> None:
    truth = json.loads((CLIPS / "ground_truth.json").read_text())[name]["cuts"]
    with av.open(str(CLIPS / name)) as container:
        assert cuts(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)) == truth
