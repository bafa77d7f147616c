"""An analysis comes back from disk as it went, or not at all."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import faces
import numpy as np
import pytest

from vidrestore import store
from vidrestore.errors import AnalysisError
from vidrestore.types import Analysis, Candidate, Floats, Identity, IdentityMargin, Reference, Scan, Shot, Span


def reference(seed: int) -> Reference:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Reference(image, faces.MEAN_FACE / 16, f"pts {seed}", 0.1 * seed, 1 / 3, "the sharpest")


def candidate(track_id: int, embedding: Floats | None) -> Candidate:
    pose = (1 / 3, -2.0, 0.0)
    return Candidate(track_id, 5, 1.25, b"\xff\xd8 a picture", faces.MEAN_FACE / 16, 31.5, pose, 0.7, 0.2, embedding)


@pytest.fixture
def analysis() -> Analysis:
    """Three tracks of two people, one of whom has references, and one track of nobody."""
    first = faces.track(0, [-512, 0, 512], faces.placed(50, 50, 20))
    second = faces.track(3, [1024], faces.placed(90, 60, 1 / 3))
    nobody = dataclasses.replace(faces.track(4, [2**40, 2**41], faces.placed(20, 20, 9)), embedding=None)
    known = Identity(
        0, "Ada Lovelace née Byron", (0, 3), first.embedding, (reference(1), reference(2)), 0.5, True, Span(1, 2)
    )
    unknown = Identity(7, "person 2", (4,), None, (), 1.0, False)
    return Analysis(
        video=faces.video_info(Path("folder/clip é.mp4")),
        fingerprint="abc",
        span=Span(0.25, None),
        frame_count=12,
        shots=(Shot(-512, 512), Shot(1024, 2**41)),
        tracks=(first, second, nobody),
        identities=(known, unknown),
        settings_digest="def",
        faces_model="compact (Apache-2.0)",
        warnings=("one", "two"),
        candidates=(candidate(0, first.embedding), candidate(4, None)),
        margin=IdentityMargin(0.45, 0.6, None),
        scan=Scan("interlaced", False, "bottom field first, by its looks"),
        film_cycles=np.array([40, 45, 50]),
    )


def plain(value: object) -> object:
    """Arrays as dtype, shape and bytes, dataclasses as dictionaries, so that == compares everything."""
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return (type(value), [plain(item) for item in value])
    return value


def test_everything_comes_back(analysis: Analysis, tmp_path: Path) -> None:
    store.save(analysis, tmp_path / "new" / "work")
    assert plain(store.load(tmp_path / "new" / "work")) == plain(analysis)
    assert sorted(path.name for path in (tmp_path / "new" / "work").iterdir()) == ["analysis.json", "analysis.npz"]


def test_a_missing_rate_and_duration_come_back(analysis: Analysis, tmp_path: Path) -> None:
    video = dataclasses.replace(analysis.video, average_rate=None, duration=None, frame_count=None, streams=())
    empty = dataclasses.replace(analysis, video=video, tracks=(), identities=(), shots=(), warnings=())
    store.save(empty, tmp_path)
    assert plain(store.load(tmp_path)) == plain(empty)


def test_a_newer_analysis_replaces_the_older_one_whole(analysis: Analysis, tmp_path: Path) -> None:
    store.save(analysis, tmp_path)
    store.save(dataclasses.replace(analysis, tracks=(), identities=(), candidates=()), tmp_path)
    assert store.load(tmp_path).tracks == ()
    with np.load(tmp_path / store.ARRAYS) as arrays:
        assert arrays.files == ["film_cycles"]


@pytest.mark.parametrize("name", [store.HEADER, store.ARRAYS])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "other"])
def test_a_damaged_file_is_an_error(analysis: Analysis, tmp_path: Path, name: str, damage: str) -> None:
    store.save(analysis, tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 40]) + whole[middle + 40 :]
        path.write_bytes({"empty": b"", "cut": whole[:middle], "flipped": flipped, "other": b"[1, 2, 3]"}[damage])
    with pytest.raises(AnalysisError, match="analyze"):
        store.load(tmp_path)


@pytest.mark.parametrize("key", ["format", "video", "span", "tracks", "identities", "fingerprint"])
@pytest.mark.parametrize("value", [None, "nonsense"])
def test_a_header_that_makes_no_sense_is_an_error(analysis: Analysis, tmp_path: Path, key: str, value: object) -> None:
    store.save(analysis, tmp_path)
    header = json.loads((tmp_path / store.HEADER).read_text(encoding="utf-8"))
    if value is None:
        del header[key]
    elif key == "fingerprint":
        header["shots"] = value
    else:
        header[key] = value
    (tmp_path / store.HEADER).write_text(json.dumps(header), encoding="utf-8")
    with pytest.raises(AnalysisError):
        store.load(tmp_path)


def test_arrays_of_another_shape_are_an_error(analysis: Analysis, tmp_path: Path) -> None:
    store.save(analysis, tmp_path)
    with np.load(tmp_path / store.ARRAYS) as arrays:
        changed = {name: array[:1] if name.endswith("boxes") else array for name, array in arrays.items()}
    np.savez(tmp_path / store.ARRAYS, **changed)
    with pytest.raises(AnalysisError, match="shape"):
        store.load(tmp_path)


def test_another_version_is_an_error_that_says_so(analysis: Analysis, tmp_path: Path) -> None:
    store.save(analysis, tmp_path)
    header = json.loads((tmp_path / store.HEADER).read_text(encoding="utf-8"))
    header["format"] = store.FORMAT_VERSION + 1
    (tmp_path / store.HEADER).write_text(json.dumps(header), encoding="utf-8")
    with pytest.raises(AnalysisError, match=f"format {store.FORMAT_VERSION + 1}.*reads {store.FORMAT_VERSION}"):
        store.load(tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("whole", [False, True])
def test_nothing_is_unpickled(analysis: Analysis, tmp_path: Path, whole: bool) -> None:
    store.save(analysis, tmp_path)
    bomb = Bomb(tmp_path / "exploded")
    if whole:
        (tmp_path / store.ARRAYS).write_bytes(pickle.dumps(bomb))
    else:
        with np.load(tmp_path / store.ARRAYS) as arrays:
            kept = dict(arrays.items())
        name = next(name for name in kept if name.endswith("_pts"))
        kept[name] = np.array([bomb], dtype=object)
        np.savez(tmp_path / store.ARRAYS, **kept)
    with pytest.raises(AnalysisError):
        store.load(tmp_path)
    assert not bomb.target.exists()


def test_a_folder_that_cannot_be_made(analysis: Analysis, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AnalysisError, match="--work"):
        store.save(analysis, tmp_path / "file" / "work")
