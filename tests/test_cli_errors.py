"""Bad input gets the right exit code and a clear message, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import faces
import numpy as np
import pytest
import torch
from conftest import Finished
from media import Clip, make_audio, make_clip
from safetensors.torch import save_file

from vidrestore import cli, store
from vidrestore.types import Analysis, Span
from vidrestore.video import fingerprint, probe

Run = Callable[..., Finished]


def refused(done: Finished, code: int, told: str, output: Path | None = None) -> None:
    """A clear message alone, and no output."""
    assert done.code == code, done.err
    assert told in done.err, done.err
    assert "Traceback" not in done.err
    assert done.err.startswith("vidrestore: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
    if output is not None:
        assert not output.exists()
        left = [path.name for path in output.parent.iterdir() if ".part" in path.name] if output.parent.is_dir() else []
        assert left == []


def bad_source(folder: Path, kind: str) -> Path:
    path = folder / "in.mp4"
    match kind:
        case "text":
            path.write_text("This is no video.\n" * 100)
        case "empty":
            path.touch()
        case "audio only":
            make_audio(path)
        case "no frames":
            make_clip(path, Clip(count=0, audio_tracks=1))
        case "folder":
            path.mkdir()
        case "cut before its index":
            whole = make_clip(path).read_bytes()
            path.write_bytes(whole[: whole.index(b"moov") - 4])
    return path


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "does not exist"),
        ("text", "cannot be opened as a video"),
        ("empty", "is empty (0 bytes)"),
        ("audio only", "has no video stream"),
        ("no frames", "has no video stream"),
        ("folder", "is a folder"),
        ("cut before its index", "cannot be opened as a video"),
    ],
)
@pytest.mark.parametrize("verb", ["restore", "preview", "analyze"])
def test_an_input_that_is_no_video(command: Run, tmp_path: Path, kind: str, told: str, verb: str) -> None:
    source, output = bad_source(tmp_path, kind), tmp_path / "out.mp4"
    flags = [] if verb == "analyze" else ["-o", output]
    done = command(verb, source, *flags)
    refused(done, cli.INPUT_OUTPUT, told, output)
    assert str(source) in done.err
    assert not (tmp_path / "in.mp4.vidrestore").exists()


def test_the_same_in_a_process_of_its_own(python: Run, tmp_path: Path) -> None:
    done = python("-m", "vidrestore", "restore", tmp_path / "in.mp4", "-o", tmp_path / "out.mp4")
    refused(done, cli.INPUT_OUTPUT, "does not exist", tmp_path / "out.mp4")


@pytest.mark.parametrize("way", ["same path", "link", "hard link", "another spelling"])
def test_an_output_that_is_the_input(command: Run, tmp_path: Path, way: str) -> None:
    source = make_clip(tmp_path / "in.mp4")
    content, other = source.read_bytes(), tmp_path / "other.mp4"
    match way:
        case "same path":
            other = source
        case "link":
            other.symlink_to(source)
        case "hard link":
            other.hardlink_to(source)
        case "another spelling":
            (tmp_path / "sub").mkdir()
            other = tmp_path / "sub" / ".." / "in.mp4"
    refused(command("restore", source, "-o", other), cli.INPUT_OUTPUT, "is the input itself")
    assert source.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none/out.mp4", "does not exist"),
        ("file/out.mp4", "file"),
        ("folder.mp4", "is a folder; name a file"),
        ("out.avi", "extension .avi"),
        ("out", "has no extension"),
    ],
)
def test_an_output_that_cannot_be_written(command: Run, clip: Path, tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder.mp4").mkdir()
    refused(command("restore", clip, "-o", tmp_path / name), cli.INPUT_OUTPUT, told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.mp4"]


def test_a_folder_without_permission(command: Run, unprivileged_folder: Path) -> None:
    source = make_clip(unprivileged_folder / "in.mp4")
    locked = unprivileged_folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    try:
        refused(command("restore", source, "-o", locked / "out.mp4"), cli.INPUT_OUTPUT, "cannot be written to")
        assert not any(locked.iterdir())
    finally:
        locked.chmod(0o755)


def test_a_source_without_permission(command: Run, unprivileged_folder: Path) -> None:
    source = make_clip(unprivileged_folder / "in.mp4")
    source.chmod(0)
    refused(
        command("restore", source, "-o", unprivileged_folder / "out.mp4"),
        cli.INPUT_OUTPUT,
        os.strerror(errno.EACCES),
        unprivileged_folder / "out.mp4",
    )


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--device", "gpu"], "restoration.device is 'gpu', allowed: auto, cpu, cuda"),
        (["--device", "cpu:1"], "restoration.device is 'cpu:1'"),
        (["--device", "cuda:999"], "cuda:999 was asked for"),
        (["--codec", "h264"], "'h264'"),
        (["--preset", "quick"], "'quick'"),
        (["--weights", "nowhere:Network"], "'nowhere:Network' cannot be loaded"),
        (["--weights", "fractions:Fraction"], "so it is no restorer"),
    ],
)
def test_a_setting_that_cannot_be_used(command: Run, clip: Path, tmp_path: Path, flags: list[str], told: str) -> None:
    output = tmp_path / "out.mp4"
    refused(command("restore", clip, "-o", output, *flags), cli.USAGE, told, output)


@pytest.mark.parametrize(
    ("content", "told"),
    [("[encoding]\nqrf = 16\n", "'encoding.qrf'"), ("[encoding]\ncrf = 99\n", "encoding.crf is 99"), ("[", "TOML")],
)
def test_a_settings_file_that_is_wrong(command: Run, clip: Path, tmp_path: Path, content: str, told: str) -> None:
    settings, output = tmp_path / "mine.toml", tmp_path / "out.mp4"
    settings.write_text(content)
    refused(command("restore", clip, "-o", output, "--config", settings), cli.USAGE, told, output)


def weight_file(folder: Path, kind: str) -> Path:
    path = folder / "w.safetensors"
    match kind:
        case "tensors of another network":
            save_file({"layer.weight": torch.ones(3, 3), "layer.bias": torch.zeros(3)}, path)
        case "no tensors":
            save_file({}, path)
        case "compact of another shape":
            save_file({"layer.weight": torch.ones(3, 3)}, path, metadata={"vidrestore.compact": '{"blocks": [1, 1]}'})
        case "compact of no shape":
            save_file({"layer.weight": torch.ones(3, 3)}, path, metadata={"vidrestore.compact": "nonsense"})
        case "text":
            path.write_text("no weights")
        case "text as .pth":
            path = folder / "w.pth"
            path.write_text("no weights")
        case "empty":
            path.touch()
        case "a list as .pth":
            path = folder / "w.pth"
            torch.save([1, 2, 3], path)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "tensors of another network",
        "no tensors",
        "compact of another shape",
        "compact of no shape",
        "text",
        "text as .pth",
        "empty",
        "a list as .pth",
    ],
)
def test_weights_that_do_not_fit(command: Run, clip: Path, tmp_path: Path, kind: str) -> None:
    path, output = weight_file(tmp_path, kind), tmp_path / "out.mp4"
    refused(command("restore", clip, "-o", output, "--weights", path), cli.INPUT_OUTPUT, str(path), output)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--weights", "nonsense"], "no restorer model is called 'nonsense'"),
        (["--weights", "dmdnet"], "vidrestore models fetch dmdnet"),
    ],
)
def test_weights_that_are_not_there(
    command: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], told: str
) -> None:
    monkeypatch.setenv("VIDRESTORE_CACHE", str(tmp_path / "cache"))
    output = tmp_path / "out.mp4"
    refused(command("restore", clip, "-o", output, *flags), cli.INPUT_OUTPUT, told, output)


@pytest.mark.parametrize(
    ("pack", "told"),
    [("nonsense", "no faces model is called 'nonsense'"), ("buffalo_l", "vidrestore models fetch buffalo_l")],
)
def test_a_model_pack_that_is_not_there(
    command: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str, told: str
) -> None:
    monkeypatch.setenv("VIDRESTORE_CACHE", str(tmp_path / "cache"))
    refused(command("analyze", clip, "--work", tmp_path / "work", "--faces", pack), cli.INPUT_OUTPUT, told)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("content", [None, b"", b"no network"])
def test_a_folder_that_is_no_model_pack(command: Run, clip: Path, tmp_path: Path, content: bytes | None) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    if content is not None:
        (pack / "detector.onnx").write_bytes(content)
    done = command("analyze", clip, "--work", tmp_path / "work", "--faces", pack)
    assert done.code == cli.INPUT_OUTPUT
    assert str(pack) in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "work").exists()


# analyses


@pytest.fixture
def kept(clip: Path) -> Analysis:
    """A hand-made analysis of ``clip``."""
    track = faces.track(0, [frame * 512 for frame in range(24)], faces.placed(80, 60, 25))
    return Analysis(probe(clip), fingerprint(clip), Span(), 24, (), (track,), (), "digest", "nobody")


def test_an_analysis_of_another_video(command: Run, clip: Path, kept: Analysis, tmp_path: Path) -> None:
    work = tmp_path / "work"
    store.save(dataclasses.replace(kept, fingerprint="of another"), work)
    before = (work / store.HEADER).read_bytes()
    refused(command("analyze", clip, "--work", work), cli.INPUT_OUTPUT, "holds the analysis of another video")
    assert (work / store.HEADER).read_bytes() == before


@pytest.mark.parametrize("damage", ["header", "arrays", "version"])
def test_an_analysis_that_is_damaged(command: Run, clip: Path, kept: Analysis, tmp_path: Path, damage: str) -> None:
    work = tmp_path / "work"
    store.save(kept, work)
    match damage:
        case "header":
            (work / store.HEADER).write_text("{")
        case "arrays":
            np.savez(work / store.ARRAYS, nothing=np.zeros(3))
        case "version":
            header = json.loads((work / store.HEADER).read_text())
            (work / store.HEADER).write_text(json.dumps({**header, "format": 99}))
    refused(command("analyze", clip, "--work", work), cli.INPUT_OUTPUT, "analyze the video again")


# usage


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resore", "in.mp4"], "no command 'resore'; there are: restore, resume, analyze"),
        (["models", "fetch"], "models fetch needs the name of a model"),
        (["models", "path", "nonsense"], "no model is called 'nonsense'"),
        (["preview", "in.mp4", "-o", "out.mp4", "--start", "-1"], "are no range"),
        (["preview", "in.mp4", "-o", "out.mp4", "--duration", "0"], "are no range"),
    ],
)
def test_wrong_usage_is_told_in_a_line(command: Run, arguments: list[str], told: str) -> None:
    refused(command(*arguments), cli.USAGE, told)


@pytest.mark.parametrize("arguments", [[], ["restore"], ["preview", "in.mp4"], ["models", "burn"], ["train"]])
def test_incomplete_usage_shows_what_is_missing(command: Run, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == cli.USAGE
    assert "Traceback" not in done.err
    assert done.err + done.out


def test_training_without_its_folders(command: Run, tmp_path: Path) -> None:
    done = command("train", "landmarks", "--portraits", tmp_path / "none", "-o", tmp_path / "run")
    refused(done, cli.USAGE, "--portraits is")


def test_help_and_version_are_no_errors(command: Run) -> None:
    assert command("--help").code == cli.DONE
    assert command("--version").out.startswith("vidrestore ")
    assert command("restore", "--help").code == cli.DONE


@pytest.mark.parametrize(("start", "duration"), [("nan", "1"), ("0", "inf"), ("-1", "1"), ("0", "0")])
def test_a_range_that_is_none_is_refused(command: Run, clip: Path, tmp_path: Path, start: str, duration: str) -> None:
    output = tmp_path / "out.mp4"
    done = command("preview", clip, "-o", output, "--start", start, "--duration", duration)
    refused(done, cli.USAGE, "are no range", output)


def test_a_folder_called_compact_does_not_hide_the_embedded_models(
    command: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compact").mkdir()
    monkeypatch.chdir(tmp_path)
    done = command("restore", clip, "-o", tmp_path / "out.mkv", "--work", tmp_path / "work", "--quiet")
    assert done.code == 0, done.err
    assert (tmp_path / "out.mkv").exists()


def test_doctor_reports_missing_models_and_goes_on(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDRESTORE_MODELS", str(tmp_path))
    done = command("doctor", "--json")
    assert done.code == cli.UNEXPECTED
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert not checks["models"]["ok"] and checks["torch works on"]["ok"]


def test_doctor_is_content_with_a_whole_installation(command: Run) -> None:
    done = command("doctor")
    assert done.code == cli.DONE, done.out
    assert "everything needed works" in done.out and "licence: Apache-2.0" in done.out


def test_a_model_without_a_checksum_is_not_called_right(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDRESTORE_CACHE", str(tmp_path))
    folder = tmp_path / "restorer" / "dmdnet"
    folder.mkdir(parents=True)
    (folder / "DMDNet.pth").write_text("x")
    done = command("models", "verify", "dmdnet")
    assert "no checksum to compare" in done.out and "checksums are right" not in done.out
