"""The user's hand on who is who: what ``people.toml`` says is what the restored video shows, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import Finished
from numpy.typing import NDArray
from skimage import data

from vidrestore import analyze_video, restore_video, store
from vidrestore.config import EncodingSettings, RestorationSettings, Settings
from vidrestore.errors import ConfigError, PictureError
from vidrestore.gating import GateSettings
from vidrestore.people import FILE, FOLDER, apply, obey, read
from vidrestore.people.folder import folder_names
from vidrestore.people.statements import literal, statements_of, with_value, without
from vidrestore.people.template import template
from vidrestore.references import ReferenceSettings, unpack
from vidrestore.types import Analysis, FaceCrop, Floats, Image, Reference
from vidrestore.video import read_frames

PHOTOGRAPH = data.astronaut()[:240, 104:344]
COUNT, RATE = 12, 5
HALF = 240
"""Columns of each of the two people."""
LEFT, RIGHT = slice(0, HALF), slice(HALF, 2 * HALF)
SIDES = (LEFT, RIGHT)


@dataclass
class Mixer:
    """A restorer that mixes each face with the mean of the person's references, so that every one of them shows."""

    name: str = "mixer"
    licence: str = "none"
    device: str = "cpu"
    crop_size: int = 96

    def encode_references(self, references: Sequence[Reference]) -> Image:
        small = [cv2.resize(r.image, (96, 96), interpolation=cv2.INTER_AREA) for r in references]
        return np.mean(small, axis=0).astype(np.uint8)

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[Image | None]) -> list[Image]:
        known = [crop.image if memory is None else memory for crop, memory in zip(crops, memories, strict=True)]
        return [cv2.addWeighted(crop.image, 0.5, mean, 0.5, 0) for crop, mean in zip(crops, known, strict=True)]


SETTINGS = Settings(
    restoration=RestorationSettings(weights="test_people:Mixer"),
    gate=GateSettings(enabled=False),
    encoding=EncodingSettings(codec="ffv1"),
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side, the right one a narrower mirror image; without loss, so that pixels compare exactly."""
    path = tmp_path_factory.mktemp("people") / "two.mkv"
    narrow = cv2.resize(PHOTOGRAPH[:, 30:210], (150, 240), interpolation=cv2.INTER_AREA)[:, ::-1]
    mirrored = cv2.copyMakeBorder(narrow, 0, 0, 45, 45, cv2.BORDER_REPLICATE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 2 * HALF, 240, "yuv444p"
        for index in range(COUNT):
            pair = np.hstack((np.roll(PHOTOGRAPH, index, axis=1), np.roll(mirrored, -index, axis=1)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pair), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def analyzed(clip: Path) -> Path:
    """The work folder after an analysis, which tests copy."""
    analyze_video(clip, settings=SETTINGS, work=clip.parent / "work")
    return clip.parent / "work"


@pytest.fixture(scope="module")
def found(analyzed: Path) -> Analysis:
    """The analysis as it was found."""
    analysis = store.load(analyzed)
    assert [len(identity.track_ids) for identity in analysis.identities] == [1, 1]
    return analysis


@pytest.fixture
def work(analyzed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(analyzed, tmp_path / "work"))


@pytest.fixture(scope="module")
def sides(found: Analysis) -> dict[str, slice]:
    """Which half of the picture each person is in, by name."""
    known = {track.id: track for track in found.tracks}
    return {i.name: SIDES[int(known[i.track_ids[0]].boxes[0, 0] > HALF)] for i in found.identities}


Pixels = NDArray[np.int16]


def pixels(video: Path) -> Pixels:
    """(T, 240, 480, 3)."""
    return np.stack([frame.image for frame in read_frames(video)]).astype(np.int16)


@pytest.fixture(scope="module")
def source(clip: Path) -> Pixels:
    return pixels(clip)


@pytest.fixture(scope="module")
def plain(clip: Path, analyzed: Path, source: Pixels) -> Pixels:
    """Restored without any edit; all faces change."""
    restore_video(clip, analyzed.parent / "plain.mkv", settings=SETTINGS, work=analyzed)
    restored = pixels(analyzed.parent / "plain.mkv")
    for side in SIDES:
        assert (restored[:, :, side] != source[:, :, side]).any(axis=(1, 2, 3)).all()
    return restored


def restored(clip: Path, work: Path) -> Pixels:
    """Restored with what is in ``work``; nothing may be analyzed for it."""
    stages: set[str] = set()
    before = (work / store.ARRAYS).stat().st_mtime_ns
    output = work.parent / "out.mkv"
    restore_video(clip, output, settings=SETTINGS, work=work, on_progress=lambda report: stages.add(report.stage))
    assert stages == {"restore"}
    assert (work / store.ARRAYS).stat().st_mtime_ns == before
    return pixels(output)


def edit(work: Path, old: str, new: str, place: int = 0) -> None:
    """Replace an occurrence of ``old`` in people.toml: the first below the guide, or a later one."""
    head, *parts = (work / FILE).read_text(encoding="utf-8").split(f"\n{old}\n")
    assert len(parts) > place
    joined = head + "".join(f"\n{new if index == place else old}\n{part}" for index, part in enumerate(parts))
    (work / FILE).write_text(joined, encoding="utf-8")


def no_photograph(name: str, embedding: Floats | None) -> Reference:  # noqa: ARG001
    raise AssertionError(f"{name} was read")


# what an edit changes in the video


def test_a_disabled_person_stays_and_the_other_is_restored_as_before(
    clip: Path, work: Path, source: Pixels, plain: Pixels, sides: dict[str, slice]
) -> None:
    edit(work, "enabled = true", "enabled = false")
    output = restored(clip, work)
    one, other = sides["person 1"], sides["person 2"]
    np.testing.assert_array_equal(output[:, :, one], source[:, :, one])
    np.testing.assert_array_equal(output[:, :, other], plain[:, :, other])


def test_strength_weakens_that_person_alone(
    clip: Path, work: Path, source: Pixels, plain: Pixels, sides: dict[str, slice]
) -> None:
    edit(work, "strength = 1.0", "strength = 0.5", place=1)
    output = restored(clip, work)
    one, other = sides["person 1"], sides["person 2"]
    np.testing.assert_array_equal(output[:, :, one], plain[:, :, one])
    half, whole = (output - source)[:, :, other], (plain - source)[:, :, other]
    clear = np.abs(whole) >= 4
    assert clear.sum() > 1000
    # Rounding moves each by up to half a level of four or more, now up and now down.
    assert (half[clear] / whole[clear]).mean() == pytest.approx(0.5, abs=0.06)


def test_a_person_is_restored_only_in_its_time(
    clip: Path, work: Path, source: Pixels, plain: Pixels, sides: dict[str, slice]
) -> None:
    edit(work, "enabled = true", "enabled = true\nrestore_from = 0.5\nrestore_to = 1.7")
    output = restored(clip, work)
    one, other = sides["person 1"], sides["person 2"]
    inside = [index for index in range(COUNT) if 0.5 <= index / RATE < 1.7]
    outside = [index for index in range(COUNT) if index not in inside]
    np.testing.assert_array_equal(output[:, :, other], plain[:, :, other])
    np.testing.assert_array_equal(output[outside][:, :, one], source[outside][:, :, one])
    # A frame lasts 0.2 s and fading 0.12 s, so that only the first and the last frame fade.
    np.testing.assert_array_equal(output[inside[1:-1]][:, :, one], plain[inside[1:-1]][:, :, one])
    for index in (inside[0], inside[-1]):
        now, full = (np.abs(video[index] - source[index])[:, one].sum() for video in (output, plain))
        assert 0 < now < full


def test_a_pinned_picture_changes_only_that_persons_faces(
    clip: Path, work: Path, found: Analysis, plain: Pixels, sides: dict[str, slice]
) -> None:
    person = found.identities[0]
    used = {reference.source for reference in person.references}
    free = [c.pts for c in found.candidates if c.track_id in person.track_ids and f"pts {c.pts}" not in used]
    edit(work, "pin = []", f'pin = ["pts {free[0]}"]')
    output = restored(clip, work)
    one, other = sides["person 1"], sides["person 2"]
    assert (output[:, :, one] != plain[:, :, one]).any()
    np.testing.assert_array_equal(output[:, :, other], plain[:, :, other])


def test_a_pinned_photograph_changes_only_that_persons_faces(
    clip: Path, work: Path, plain: Pixels, sides: dict[str, slice]
) -> None:
    cv2.imwrite(str(work / "ada.png"), data.astronaut()[:300, 80:380, ::-1])
    edit(work, "pin = []", 'pin = ["ada.png"]', place=1)
    output = restored(clip, work)
    one, other = sides["person 1"], sides["person 2"]
    np.testing.assert_array_equal(output[:, :, one], plain[:, :, one])
    assert (output[:, :, other] != plain[:, :, other]).any()
    references = analyze_video(clip, settings=SETTINGS, work=work).identities[1].references
    assert references[0].source == "ada.png" and "pinned" in references[0].reason


def test_merged_people_share_their_references(clip: Path, work: Path, found: Analysis, plain: Pixels) -> None:
    tracks = [identity.track_ids[0] for identity in found.identities]
    edit(work, f"tracks = [{tracks[0]}]", f"tracks = {tracks}")
    text = (work / FILE).read_text(encoding="utf-8")
    (work / FILE).write_text(text[: text.rindex("[[person]]")], encoding="utf-8")
    output = restored(clip, work)
    for side in SIDES:
        assert (output[:, :, side] != plain[:, :, side]).any()
    (merged,) = analyze_video(clip, settings=SETTINGS, work=work).identities
    from_tracks = {
        candidate.track_id
        for candidate in found.candidates
        for reference in merged.references
        if np.array_equal(unpack(candidate), reference.image)
    }
    assert from_tracks == set(tracks)
    # The two stand side by side in the clip, so they are no one person, and the user is told.
    first, second = tracks
    said = analyze_video(clip, settings=SETTINGS, work=work).warnings
    assert f"tracks {first} and {second} of 'person 1' are two faces in one frame, at 0.00 s" in said


# what is applied


def test_the_file_of_a_new_analysis_says_what_was_found(found: Analysis) -> None:
    applied = apply(found, read(template(found), FILE), ReferenceSettings(count=1), no_photograph)
    for before, after in zip(found.identities, applied.identities, strict=True):
        assert (after.id, after.name, after.track_ids) == (before.id, before.name, before.track_ids)
        assert after.references is before.references
        np.testing.assert_array_equal(after.embedding, before.embedding)


def test_an_excluded_picture_is_no_reference(found: Analysis) -> None:
    best = found.identities[0].references[0].source
    text = template(found).replace("\nexclude = []", f'\nexclude = ["{best}"]', 1)
    one, other = apply(found, read(text, FILE), SETTINGS.references, no_photograph).identities
    assert one.references and best not in [reference.source for reference in one.references]
    assert other.references is found.identities[1].references


def test_a_pinned_picture_comes_first_and_counts_as_one(found: Analysis) -> None:
    last = max(c.pts for c in found.candidates if c.track_id == found.identities[0].track_ids[0])
    text = template(found).replace("\npin = []", f'\npin = ["pts {last}"]', 1)
    for count in (1, 5):
        one, _ = apply(found, read(text, FILE), ReferenceSettings(count=count), no_photograph).identities
        sources = [reference.source for reference in one.references]
        assert sources[0] == f"pts {last}" and len(sources) == len(set(sources)) <= count


def test_a_photograph_that_cannot_be_used_names_the_line(found: Analysis) -> None:
    def missing(name: str, embedding: Floats | None) -> Reference:
        assert embedding is found.identities[0].embedding
        raise PictureError(f"there is no picture {name}")

    text = template(found).replace("\npin = []", '\npin = ["gone.jpg"]', 1)
    line = text.split("\n").index('pin = ["gone.jpg"]') + 1
    with pytest.raises(ConfigError, match=rf"line {line}: .*gone.jpg.*there is no picture"):
        apply(found, read(text, FILE), SETTINGS.references, missing)


def test_a_track_of_nobody_can_be_given_to_a_person(found: Analysis) -> None:
    (free,) = found.identities[1].track_ids
    unsure = replace(found, identities=found.identities[:1])
    text = template(unsure)
    assert f"#   track {free}: 0.0 s to {(COUNT - 1) / RATE:.1f} s" in text
    (own,) = found.identities[0].track_ids
    given = text.replace(f"\ntracks = [{own}]\n", f"\ntracks = [{own}, {free}]\n")
    (person,) = apply(unsure, read(given, FILE), SETTINGS.references, no_photograph).identities
    assert person.track_ids == tuple(sorted((own, free)))
    assert person.embedding is not None and np.linalg.norm(person.embedding) == pytest.approx(1, abs=1e-5)


# what is wrong with a file


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("enabled = true", "enabeld = true", "unknown key 'enabeld'; allowed: name, tracks"),
        ("enabled = true", 'enabled = "yes"', "enabled is 'yes', allowed: true or false"),
        ("enabled = true", "enabled = true\nenabled = true", "already in line"),
        ("enabled = true", "enabled = tru", "no TOML: invalid value"),
        ("enabled = true", "[person]", "unknown section"),
        ("enabled = true", "restore_from = -1", "restore_from is -1, allowed: seconds, 0 or more"),
        ("enabled = true", "restore_to = nan", "restore_to is nan, allowed: seconds, above 0"),
        ("strength = 1.0", "restore_from = 3\nrestore_to = 3", "restore_to must be the later one"),
        ("strength = 1.0", "strength = 1.5", "strength is 1.5, allowed: a number from 0 to 1"),
        ("strength = 1.0", "strength = true", "strength is True, allowed"),
        ('name = "person 2"', 'name = "person 1"', "name 'person 1' is taken in line"),
        ('name = "person 2"', 'name = " "', "name is ' ', allowed"),
        ('name = "person 2"', 'name = "person 2', "no TOML"),
        ('name = "person 2"', 'name = "a\\nb"', "in one line"),
        ("tracks = [0]", "tracks = [0, 99]", "there is no track 99; there are: 0, 1"),
        ("tracks = [0]", "tracks = [0, 0]", "each once"),
        ("tracks = [0]", "tracks = []", "at least one"),
        ("tracks = [0]", "tracks = [0.5]", "a list of track numbers"),
        ("tracks = [1]", "tracks = [1, 0]", "track 0 is also in line"),
        ("pin = []", 'pin = ["pts 7777"]', "pin names 'pts 7777', which is no picture of 'person 1'; there are: pts"),
        ("exclude = []", 'exclude = ["me.jpg"]', "a list of pictures"),
        ("exclude = []", 'exclude = ["pts 0"]\npin = ["pts 0"]', "already in line"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(found: Analysis, old: str, new: str, words: str) -> None:
    before, after = template(found).split(f"\n{old}\n", 1)
    text = f"{before}\n{new}\n{after}"
    line = f"{before}\n{new}".count("\n") + 1
    with pytest.raises(ConfigError) as error:
        apply(found, read(text, FILE), SETTINGS.references, no_photograph)
    assert str(error.value).startswith(f"{FILE}, line {line}: ")
    assert words in str(error.value)


def test_a_wrong_file_ends_the_command_with_the_line_and_no_output(
    clip: Path, work: Path, tmp_path: Path, command: Callable[..., Finished]
) -> None:
    edit(work, "strength = 1.0", "strength = 2")
    line = (work / FILE).read_text(encoding="utf-8").split("\n").index("strength = 2") + 1
    done = command("restore", clip, "-o", tmp_path / "out.mkv", "--work", work, "--quiet")
    assert done.code == 2
    assert done.err.strip() == f"vidrestore: {work / FILE}, line {line}: strength is 2, allowed: a number from 0 to 1"
    assert not (tmp_path / "out.mkv").exists()
    (work / FILE).write_bytes(b"# Ada\n# L\xe9on\n")
    assert "line 2: " in command("people", "list", clip, "--work", work).err


def test_a_file_saved_by_an_editor_of_another_system_is_read(work: Path, found: Analysis) -> None:
    edit(work, "enabled = true", "enabled = false")
    text = (work / FILE).read_text(encoding="utf-8")
    (work / FILE).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert [i.enabled for i in obey(found, work, SETTINGS.references, no_photograph).identities] == [False, True]


# the text


def complaint(line: int, message: str) -> ConfigError:
    return ConfigError(f"line {line}: {message}")


def test_statements_know_their_lines_and_edits_keep_the_comments() -> None:
    text = '# head\n\n[[person]]  # who\n  tracks = [\n    0,  # "a"\n    3,\n  ]  # both\nname = "a # b" # c\n'
    header, tracks, name = statements_of(text, complaint)
    assert (header.line, header.is_header) == (3, True)
    assert (tracks.line, tracks.last + 1, tracks.value) == (4, 7, [0, 3])
    assert (name.line, name.value) == (8, "a # b")
    assert with_value(text, name, literal("é\\")) == text.replace('"a # b"', '"é\\\\"').replace(" # c", "  # c")
    changed = with_value(text, tracks, "[1]")
    assert changed == '# head\n\n[[person]]  # who\n  # "a"\n  tracks = [1]  # both\nname = "a # b" # c\n'
    assert without(text, [name, header]) == '# head\n\n# who\n  tracks = [\n    0,  # "a"\n    3,\n  ]  # both\n# c\n'


@pytest.mark.parametrize("broken", ["tracks = [0,", 'name = """x', "= 3", "a b = 3", "[[person]", "tracks = [0] [1]"])
def test_a_statement_that_is_no_toml_is_named_where_it_begins(broken: str) -> None:
    with pytest.raises(ConfigError, match=r"^line 3: .*no TOML"):
        statements_of(f"a = 1\n\n{broken}\nb = 2\nc = [3]\n", complaint)


# the folder


def test_each_person_is_shown_and_the_pictures_follow_the_edits(clip: Path, work: Path, found: Analysis) -> None:
    folder = work / FOLDER
    for identity in found.identities:
        names = {path.name for path in (folder / identity.name).iterdir()}
        assert names == {"sheet.png", *(f"reference-{n + 1}.png" for n in range(len(identity.references)))}
        for number, reference in enumerate(identity.references, start=1):
            stored = cv2.imread(str(folder / identity.name / f"reference-{number}.png"))
            np.testing.assert_array_equal(stored[:, :, ::-1], reference.image)
        assert cv2.imread(str(folder / identity.name / "sheet.png")).shape[1] > 176
    (folder / "person 1" / "mine.jpg").write_bytes(b"a photograph")
    untouched = {path: path.stat().st_mtime_ns for path in (folder / "person 2").iterdir()}
    edit(work, 'name = "person 1"', 'name = "Ada"')
    analyze_video(clip, settings=SETTINGS, work=work)
    assert sorted(path.name for path in folder.iterdir()) == [".drawn.json", "Ada", "person 1", "person 2"]
    assert [path.name for path in (folder / "person 1").iterdir()] == ["mine.jpg"]
    assert {path: path.stat().st_mtime_ns for path in (folder / "person 2").iterdir()} == untouched
    (folder / "Ada" / "sheet.png").unlink()
    analyze_video(clip, settings=SETTINGS, work=work)
    assert (folder / "Ada" / "sheet.png").is_file()


def test_tracks_of_nobody_are_shown_and_faces_without_candidates_come_from_the_video(
    clip: Path, tmp_path: Path, found: Analysis
) -> None:
    alone = replace(
        found, video=replace(found.video, path=clip), identities=found.identities[:1], candidates=found.candidates[:0]
    )
    obey(alone, tmp_path, SETTINGS.references, no_photograph)
    sheet = cv2.imread(str(tmp_path / FOLDER / "unassigned.png"))
    assert sheet is not None
    # The middle of the only picture is the person's face: much like the photograph's cheeks and nose.
    middle = sheet[22 + 6 + 80 : 22 + 6 + 110, 6 + 70 : 6 + 106, ::-1].reshape(-1, 3).mean(axis=0)
    assert np.abs(middle - PHOTOGRAPH[110:130, 110:135].reshape(-1, 3).mean(axis=0)).max() < 25


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["Ada Lovelace née Byron"], ["Ada Lovelace née Byron"]),
        (["../../etc", "a/b", "a\\b"], ["_.._etc", "a_b", "a_b (2)"]),
        ([".", "..", "  "], ["_", "_ (2)", "_ (3)"]),
        (["x" * 300, "x" * 301], ["x" * 60, "x" * 60 + " (2)"]),
        (["Ada", "ADA", "ada (2)"], ["Ada", "ADA (2)", "ada (2) (2)"]),
        (["con", "NUL.txt", "a:b*c?"], ["_con", "_NUL.txt", "a_b_c_"]),
        ([".drawn.json", "unassigned.png"], ["drawn.json", "unassigned.png (2)"]),
    ],
)
def test_folder_names_are_safe_and_differ(names: list[str], folders: list[str]) -> None:
    assert folder_names(names) == folders


# another analysis


def test_edits_survive_a_new_analysis_of_the_same_and_are_set_aside_for_other_tracks(
    work: Path, found: Analysis
) -> None:
    edit(work, "enabled = true", "enabled = false")
    edited = (work / FILE).read_text(encoding="utf-8")
    again = obey(found, work, SETTINGS.references, no_photograph)
    assert not again.identities[0].enabled and again.warnings == found.warnings
    other = replace(found, settings_digest="other")
    fresh = obey(other, work, SETTINGS.references, no_photograph)
    assert fresh.identities[0].enabled
    assert (work / "people.toml.old").read_text(encoding="utf-8") == edited
    (warning,) = fresh.warnings
    assert "people.toml.old" in warning
    # What nobody has edited is not worth keeping.
    assert obey(found, work, SETTINGS.references, no_photograph).warnings == found.warnings
    assert sorted(path.name for path in work.glob("people.toml*")) == ["people.toml", "people.toml.old"]
    edit(work, "enabled = true", "enabled = false")
    obey(other, work, SETTINGS.references, no_photograph)
    assert (work / "people.toml.old2").is_file()


def test_a_folder_that_cannot_be_written_is_told_and_the_analysis_used(
    unprivileged_folder: Path, found: Analysis
) -> None:
    (unprivileged_folder / "closed").mkdir()
    (unprivileged_folder / "closed").chmod(0o555)
    analysis = obey(found, unprivileged_folder / "closed", SETTINGS.references, no_photograph)
    assert [identity.name for identity in analysis.identities] == ["person 1", "person 2"]
    assert len(analysis.warnings) == len(found.warnings) + 2


# commands


def test_people_list_tells_who_is_who(clip: Path, work: Path, command: Callable[..., Finished]) -> None:
    done = command("people", "list", clip, "--work", work, "--json")
    assert done.code == 0, done.err
    listed = json.loads(done.out)
    assert listed["unassigned_tracks"] == 0
    one, other = listed["people"]
    assert {"name", "tracks", "frames", "references", "enabled", "strength"} <= one.keys()
    assert (one["name"], one["tracks"], one["frames"], one["enabled"], one["strength"]) == (
        "person 1",
        1,
        COUNT,
        True,
        1.0,
    )
    assert other["name"] == "person 2"
    assert "person 2: strength 1; 12 frames in tracks 1" in command("people", "list", clip, "--work", work).out


def test_commands_edit_the_file_as_little_as_can_be(clip: Path, work: Path, command: Callable[..., Finished]) -> None:
    edit(work, "strength = 1.0", "strength = 1.0  # for now")

    def people(action: str, *arguments: str) -> list[str]:
        """The lines of the file that changed, with + and -."""
        before = (work / FILE).read_text(encoding="utf-8").split("\n")
        done = command("people", action, clip, *arguments, "--work", work, "--json")
        assert done.code == 0, done.err
        after = (work / FILE).read_text(encoding="utf-8").split("\n")
        return [f"-{x}" for x in before if x not in after] + [f"+{x}" for x in after if x not in before]

    assert people("rename", "person 1", 'Ada "A"') == ['-name = "person 1"', '+name = "Ada \\"A\\""']
    assert people("set", 'Ada "A"', "--strength", "0.5") == [
        "-strength = 1.0  # for now",
        "+strength = 0.5  # for now",
    ]
    assert people("set", 'Ada "A"', "--restore-from", "1", "--restore-to", "2") == [
        "+restore_from = 1.0",
        "+restore_to = 2.0",
    ]
    assert people("set", 'Ada "A"', "--restore-from", "0", "--restore-to", "end") == [
        "-restore_from = 1.0",
        "-restore_to = 2.0",
    ]
    assert people("disable", 'Ada "A"', "person 2") == ["-enabled = true"] * 2 + ["+enabled = false"] * 2
    assert people("enable", 'Ada "A"', "person 2") == ["-enabled = false"] * 2 + ["+enabled = true"] * 2
    source = json.loads(command("people", "list", clip, "--work", work, "--json").out)["people"][1]["reference_sources"]
    assert people("set", "person 2", "--pin", source[0]) == [f'+pin = ["{source[0]}"]']
    assert "+tracks = [0, 1]" in people("merge", 'Ada "A"', "person 2")
    split = people("split", 'Ada "A"', "1", "--as", "Bob")
    assert "+tracks = [1]" in split and '+name = "Bob"' in split
    listed = json.loads(command("people", "list", clip, "--work", work, "--json").out)["people"]
    assert [(p["name"], p["track_ids"], p["strength"]) for p in listed] == [('Ada "A"', [0], 0.5), ("Bob", [1], 0.5)]
    assert listed[1]["reference_sources"][0] == source[0]
    assert sorted(path.name for path in (work / FOLDER).iterdir()) == [".drawn.json", "Ada _A_", "Bob"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["disable", "Eve"], "no person is called 'Eve'; there are: person 1, person 2"),
        (["merge", "person 1", "person 1"], "cannot be merged with itself"),
        (["merge", "person 1"], "usage: vidrestore people merge IN NAME OTHER..."),
        (["split", "person 1", "1"], "has no track 1 to split off; there are: 0"),
        (["split", "person 1", "0"], "has no track but these"),
        (["split", "person 1", "first"], "'first' is no track number"),
        (["rename", "person 1", "person 2"], "nothing was changed, or the file would be wrong"),
        (["set", "person 1"], "set needs something to set"),
        (["set", "person 1", "--strength", "7"], "strength is 7.0, allowed: a number from 0 to 1"),
        (["set", "person 1", "--unpin", "pts 0"], "'pts 0' is not in pin of 'person 1'; there are: none"),
        (["set", "person 1", "--add-track", "1"], "track 1 is also in line"),
        (["list", "--strength", "0.5"], "flags for values are for 'people set'"),
        (["enable", "person 1", "--as", "x"], "--as is for 'people split'"),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(
    clip: Path, work: Path, command: Callable[..., Finished], arguments: list[str], words: str
) -> None:
    before = (work / FILE).read_bytes()
    action, *rest = arguments
    done = command("people", action, clip, *rest, "--work", work)
    assert done.code == 2
    assert words in done.err and "Traceback" not in done.err
    assert (work / FILE).read_bytes() == before


def test_people_of_a_video_that_was_not_analyzed(clip: Path, tmp_path: Path, command: Callable[..., Finished]) -> None:
    done = command("people", "list", clip, "--work", tmp_path / "none")
    assert done.code == 3 and "vidrestore analyze" in done.err


def test_a_photograph_is_named_from_the_folder_of_the_analysis(
    clip: Path, work: Path, command: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(work.parent / "ada.png"), data.astronaut()[:300, 80:380, ::-1])
    monkeypatch.chdir(work.parent)
    done = command("people", "set", clip, "person 1", "--pin", "ada.png", "--work", work)
    assert done.code == 0, done.err
    assert 'pin = ["../ada.png"]' in (work / FILE).read_text(encoding="utf-8")
    assert "nowhere.png" in command("people", "set", clip, "person 1", "--pin", "nowhere.png", "--work", work).err
