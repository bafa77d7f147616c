"""A run that was interrupted goes on, and its result is that of a run that was not; whatever interrupts it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import pytest
import runs
from conftest import REPOSITORY, Finished
from media import Clip, make_clip

from vidrestore.api import restore_video
from vidrestore.config import EncodingSettings, RestorationSettings, ScanSettings, Settings
from vidrestore.cuts import cuts_between
from vidrestore.errors import VideoError
from vidrestore.journal import folder_of
from vidrestore.store import save
from vidrestore.types import Notice, Progress, Scan, Shot, Span
from vidrestore.video import SegmentedWriter, read_frames

Run = Callable[..., Finished]
KILLS = 20
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
"""Runs are forked from a process in which all is imported, so that each is as short as its work."""


@dataclasses.dataclass(frozen=True)
class Film:
    """The film, the folder of its analysis, and what an uninterrupted run makes of it."""

    path: Path
    work: Path
    whole: Path
    """The output of that run."""
    result: dict
    content: str


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    PROCESSES.set_forkserver_preload(["vidrestore.api", "cv2", "av", "runs"])
    folder = tmp_path_factory.mktemp("film")
    path = runs.make_film(folder / "film.mp4")
    runs.analyze_film(path, folder / "work")
    result = restore_video(path, folder / "whole.mp4", settings=runs.SETTINGS, work=folder / "work")
    assert (result.frames, result.faces_restored) == (runs.COUNT, runs.COUNT)
    return Film(path, folder / "work", folder / "whole.mp4", told(result), content_of(folder / "whole.mp4"))


def told(result) -> dict:
    """What a result says of the video, without what it says of the run."""
    values = dataclasses.asdict(result)
    return {name: values[name] for name in values if not name.endswith("seconds") and "earlier" not in name} | {
        "output": None
    }


def content_of(path: Path) -> str:
    """Digest of all packets, with their times, and of all decoded frames."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux():
            digest.update(repr((packet.stream_index, packet.pts, packet.dts, packet.duration)).encode() + bytes(packet))
    for frame in read_frames(path):
        digest.update(repr(frame.pts).encode() + frame.picture.stored.to_ndarray().tobytes())
    return digest.hexdigest()


def restore(film: Film, output: Path, *, settings: Settings = runs.SETTINGS, **options):
    return restore_video(film.path, output, settings=settings, work=film.work, **options)


def interrupted(film: Film, output: Path, *, after: int, settings: Settings = runs.SETTINGS, **options) -> None:
    """A run that is interrupted, as by Ctrl-C, when ``after`` frames are written."""

    def interrupt(progress: Progress | Notice) -> None:
        if isinstance(progress, Progress) and (progress.stage, progress.frames_done) == ("restore", after):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(film, output, settings=settings, on_progress=interrupt, **options)


# killed


def _restore_and_tell(film: Film, output: Path, wire: Connection) -> None:
    """In a process of its own: restore, and tell of each frame."""
    restore(film, output, on_progress=lambda progress: wire.send(progress.frames_done))
    wire.send(-1)


def kill_after(film: Film, output: Path, frames: int, delay: float) -> None:
    """Begin a run and kill it ``delay`` seconds after so many frames; it may be done by then."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_restore_and_tell, args=(film, output, theirs))
    process.start()
    theirs.close()
    try:
        while ours.recv() not in (frames, -1):
            pass
    except EOFError:
        pytest.fail("the run ended by itself")
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)


def test_a_run_that_is_killed_goes_on_to_the_same_result(film: Film, tmp_path: Path) -> None:
    dice, earlier = random.Random(0), []
    for number in range(KILLS):
        output = tmp_path / f"{number}.mp4"
        # Spread over the run, and a little while after the last frame, when the segments are joined.
        kill_after(film, output, round((number + 1) * runs.COUNT / KILLS), dice.uniform(0, 0.03))
        result = restore(film, output)
        earlier.append(result.frames_from_earlier)
        assert content_of(output) == film.content
        assert told(result) == film.result
        assert [path.name for path in tmp_path.glob(f"{number}.*")] == [output.name]
    assert len(set(earlier)) >= 4  # kills came at different segments


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on file size, tried on Linux alone")
@pytest.mark.parametrize("room", [12_000, 50_000])
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(film: Film, tmp_path: Path, room: int) -> None:
    """A limit on the size of files stands for the disk: first a segment, then the joined file does not fit."""
    output = tmp_path / "out.mp4"
    output.write_text("older")
    program = f"""
import resource, sys
sys.path[:0] = [{str(REPOSITORY / "tests")!r}]
import runs
from vidrestore import cli
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
command = ["restore", {str(film.path)!r}, "-o", {str(output)!r}, "--work", {str(film.work)!r}, "--quiet"]
flags = ["--faces", "runs:Seer", "--weights", "runs:Sharpener", "--device", "cpu", "--preset", "ultrafast"]
flags += ["--fusion.reach-seconds", "0.05"]
sys.exit(cli.run([*command, *flags, "--segment-seconds", "0.5"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "could not be written: File too large" in done.stderr
    assert "segments are kept in" in done.stderr
    assert output.read_text() == "older"
    result = restore(film, output)
    assert result.frames_from_earlier > 0
    assert content_of(output) == film.content


def test_two_runs_on_one_output_do_not_meet(film: Film, tmp_path: Path) -> None:
    output, said = tmp_path / "out.mp4", []

    def begin_another(progress: Progress | Notice) -> None:
        if isinstance(progress, Progress) and progress.frames_done == 20:
            with pytest.raises(VideoError) as error:
                restore(film, output)
            said.append(str(error.value))

    restore(film, output, on_progress=begin_another)
    assert f"in use by process {os.getpid()} on " in said[0]
    assert content_of(output) == film.content


# going on, or anew


@pytest.fixture
def stopped(film: Film, tmp_path: Path) -> Path:
    """The output of a run that was interrupted when three of five segments were done."""
    interrupted(film, tmp_path / "out.mp4", after=36)
    return tmp_path / "out.mp4"


def notices(film: Film, output: Path, **options) -> tuple[list[str], int]:
    """What a run says at its beginning, and how many frames it finds done."""
    said: list[str] = []
    result = restore(
        film, output, on_progress=lambda told: said.append(told.text) if isinstance(told, Notice) else None, **options
    )
    return said, result.frames_from_earlier


def test_an_interrupted_run_says_what_it_leaves_and_the_next_that_it_goes_on(film: Film, tmp_path: Path) -> None:
    output, counts = tmp_path / "out.mp4", []

    def interrupt(progress: Progress | Notice) -> None:
        if isinstance(progress, Progress) and progress.frames_done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"2 of 5 segments are kept in .*out\.mp4\.part; the same command goes"):
        restore(film, output, on_progress=interrupt)
    result = restore(film, output, on_progress=counts.append)
    assert counts[0] == Notice("continuing: 2 of 5 segments are done")
    assert [progress.frames_done for progress in counts[1:]] == list(range(21, runs.COUNT + 1))
    assert result.frames_from_earlier == 21
    assert content_of(output) == film.content


def test_a_changed_setting_begins_anew_and_says_which(film: Film, stopped: Path) -> None:
    encoding = dataclasses.replace(runs.SETTINGS.encoding, crf=30)
    said, earlier = notices(film, stopped, settings=dataclasses.replace(runs.SETTINGS, encoding=encoding))
    assert said == ["starting anew, because encoding.crf was 16, is 30 (3 segments were done)"]
    assert earlier == 0


def test_changed_people_begin_anew(film: Film, stopped: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(film.work, work)
    (work / "people.toml").write_text('[[person]]\nname = "Eileen"\ntracks = [0, 1, 2]\nstrength = 0.5\n')
    said, _ = notices(dataclasses.replace(film, work=work), stopped)
    assert said == ["starting anew, because who is restored, and their references has changed (3 segments were done)"]


def test_a_changed_network_begins_anew(film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, output = tmp_path / "own_network.py", tmp_path / "out.mp4"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("from runs import Sharpener\n")
    settings = dataclasses.replace(
        runs.SETTINGS, restoration=RestorationSettings(weights="own_network:Sharpener", device="cpu")
    )
    interrupted(film, output, after=30, settings=settings)
    module.write_text("from runs import Sharpener  # as good as new\n")
    said, _ = notices(film, output, settings=settings)
    assert said == ["starting anew, because the content of the weights has changed (2 segments were done)"]


def test_a_changed_input_begins_anew(film: Film, tmp_path: Path) -> None:
    source, output = tmp_path / "film.mp4", tmp_path / "out.mp4"
    shutil.copy(film.path, source)
    mine = dataclasses.replace(film, path=source)
    interrupted(mine, output, after=30)
    with source.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    runs.analyze_film(source, tmp_path / "work")
    said, _ = notices(dataclasses.replace(mine, work=tmp_path / "work"), output)
    assert said == ["starting anew, because the input file has changed (2 segments were done)"]


@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_a_damaged_segment_is_made_anew(film: Film, stopped: Path, damage: str) -> None:
    path = folder_of(stopped) / "segment_000001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) - 1] if damage == "cut" else content)
    said, earlier = notices(film, stopped)
    assert said == ["continuing: 1 of 5 segments are done", "segment_000001 is damaged: all is made anew from there"]
    assert earlier == 9
    assert content_of(stopped) == film.content


def test_a_line_that_was_cut_off_counts_for_nothing(film: Film, stopped: Path) -> None:
    journal = folder_of(stopped) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    said, earlier = notices(film, stopped)
    assert (said, earlier) == (["continuing: 2 of 5 segments are done"], 21)
    assert content_of(stopped) == film.content


def test_a_journal_of_garbage_is_no_journal(film: Film, stopped: Path) -> None:
    (folder_of(stopped) / "journal.jsonl").write_bytes(b"\xff\xfe garbage")
    assert notices(film, stopped) == ([], 0)
    assert content_of(stopped) == film.content


def test_the_command_resume_knows_what_was_asked_for(
    film: Film, tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    interrupted(film, output, after=36, keep_work=True)
    monkeypatch.chdir(tmp_path)
    done = command("resume", "out.mp4", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["frames_from_earlier"] == 31
    assert json.loads(done.err.splitlines()[0]) == {"notice": "continuing: 3 of 5 segments are done"}
    assert content_of(output) == film.content
    assert folder_of(output).is_dir()  # it was to be kept
    again = command("resume", folder_of(output), "--json")
    assert json.loads(again.out)["frames_from_earlier"] == runs.COUNT
    assert content_of(output) == film.content


def test_where_nothing_is_kept_resume_says_so(tmp_path: Path, command: Run) -> None:
    done = command("resume", tmp_path / "out.mp4")
    assert done.code == 3
    assert "no interrupted run is kept for" in done.err


def test_what_a_user_keeps_in_the_folder_stays(film: Film, stopped: Path) -> None:
    (folder_of(stopped) / "notes.txt").write_text("mine")
    restore(film, stopped)
    assert [path.name for path in folder_of(stopped).iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_left_alone(film: Film, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    folder_of(output).write_text("a download")
    with pytest.raises(VideoError, match="is in the way"):
        restore(film, output)
    assert folder_of(output).read_text() == "a download"


def test_batches_do_not_show_in_the_result(film: Film, tmp_path: Path) -> None:
    """Faces of several frames are restored at once, on whichever side of an interruption."""
    chosen = dataclasses.replace(runs.SETTINGS.restoration, batch=4, weights="runs:Sociable")
    settings = dataclasses.replace(runs.SETTINGS, restoration=chosen)
    restore(film, tmp_path / "whole.mp4", settings=settings)
    interrupted(film, tmp_path / "out.mp4", after=28, settings=settings)
    assert restore(film, tmp_path / "out.mp4", settings=settings).frames_from_earlier == 21
    assert content_of(tmp_path / "out.mp4") == content_of(tmp_path / "whole.mp4")


@pytest.mark.parametrize(("deinterlace", "after"), [(False, 33), (True, 85)])
def test_fields_go_on_where_they_were_interrupted(film: Film, tmp_path: Path, deinterlace: bool, after: int) -> None:
    settings = dataclasses.replace(
        runs.SETTINGS,
        scan=ScanSettings(scan="top-first"),
        restoration=dataclasses.replace(runs.SETTINGS.restoration, deinterlace=deinterlace),
    )
    mine = dataclasses.replace(film, work=tmp_path / "work")
    analysis = runs.analyze_film(film.path, mine.work, settings)
    save(dataclasses.replace(analysis, scan=Scan("interlaced", reason="for this test")), mine.work)
    whole = restore(mine, tmp_path / "whole.mp4", settings=settings)
    interrupted(mine, tmp_path / "out.mp4", after=after, settings=settings)
    result = restore(mine, tmp_path / "out.mp4", settings=settings)
    assert result.frames_from_earlier > 0
    assert told(result) == told(whole)
    assert content_of(tmp_path / "out.mp4") == content_of(tmp_path / "whole.mp4")


def test_a_damaged_file_is_decoded_from_its_start_again(film: Film, tmp_path: Path) -> None:
    """What was lost before the interruption decides what comes after, and is counted once."""
    source, output = tmp_path / "film.mp4", tmp_path / "out.mp4"
    content = bytearray(film.path.read_bytes())
    with av.open(str(film.path)) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][5]
    content[lost.pos : lost.pos + lost.size] = bytes(lost.size)
    source.write_bytes(content)
    runs.analyze_film(source, tmp_path / "work")
    mine = Film(source, tmp_path / "work", source, {}, "")
    whole = restore(mine, tmp_path / "whole.mp4")
    assert whole.warnings
    interrupted(mine, output, after=36)
    assert told(restore(mine, output)) == told(whole)
    assert content_of(output) == content_of(tmp_path / "whole.mp4")


# ranges


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.8), (0.35, 1.5), (1.1, None)])
def test_a_range_has_its_frames_and_its_sound(film: Film, tmp_path: Path, start: float, end: float | None) -> None:
    output, span = tmp_path / "part.mp4", Span(start, end)
    result = restore(film, output, span=span)
    zero = Fraction(6400, 12800)
    source = [(frame.pts * frame.time_base - zero, frame) for frame in read_frames(film.path)]
    wanted = [seconds - Fraction(start) for seconds, _ in source if float(seconds) in span]
    found = [frame.pts * frame.time_base for frame in read_frames(output)]
    assert result.frames == len(found)
    assert found == pytest.approx(wanted, abs=float(runs.TIME_BASE))
    with av.open(str(output)) as container:
        sound = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]
    assert 0 <= sound[0] < 0.03
    assert (found[-1] - 0.05) < sound[-1] < found[-1] + 0.1


def test_the_frames_of_a_range_are_those_of_the_whole(film: Film, tmp_path: Path) -> None:
    """At its borders a face has fewer neighbours; within, everything is the same before encoding."""
    settings = dataclasses.replace(runs.SETTINGS, encoding=EncodingSettings(codec="ffv1", segment_seconds=0.5))
    restore(film, tmp_path / "whole.mkv", settings=settings)
    restore(film, tmp_path / "part.mkv", settings=settings, span=Span(0.2, 1.7))
    whole = [frame.image for frame in read_frames(tmp_path / "whole.mkv")]
    part = [frame.image for frame in read_frames(tmp_path / "part.mkv")]
    first = next(index for index, image in enumerate(whole) if np.array_equal(image, part[len(part) // 2]))
    inside = slice(12, len(part) - 12)
    offset = first - len(part) // 2
    assert all(np.array_equal(one, whole[index + offset]) for index, one in list(enumerate(part))[inside])


def test_a_range_that_was_interrupted_goes_on(film: Film, tmp_path: Path) -> None:
    span = Span(0.3, 2.0)
    restore(film, tmp_path / "whole.mp4", span=span)
    interrupted(film, tmp_path / "out.mp4", after=30, span=span)
    assert restore(film, tmp_path / "out.mp4", span=span).frames_from_earlier > 0
    assert content_of(tmp_path / "out.mp4") == content_of(tmp_path / "whole.mp4")


def test_a_range_of_a_video_that_was_not_analyzed_is_analyzed_once(film: Film, tmp_path: Path) -> None:
    mine = dataclasses.replace(film, work=tmp_path / "work")
    stages: list[str] = []
    interrupted(mine, tmp_path / "out.mp4", after=15, span=Span(0.3, 1.6))
    result = restore(
        mine,
        tmp_path / "out.mp4",
        span=Span(0.3, 1.6),
        on_progress=lambda told: stages.append(told.stage) if isinstance(told, Progress) else None,
    )
    assert set(stages) == {"restore"}
    assert any("people and references come from this range alone" in warning for warning in result.warnings)
    assert not folder_of(tmp_path / "out.mp4").exists()


def test_ranges_that_are_none_are_usage_errors(command: Run, clip: Path, tmp_path: Path) -> None:
    for flags in (("--start", "2", "--end", "1"), ("--start", "-1"), ("--end", "0"), ("--start", "nan")):
        done = command("restore", clip, "-o", tmp_path / "out.mp4", *flags)
        assert (done.code, "are no range" in done.err) == (2, True)
    done = command("restore", clip, "-o", tmp_path / "out.mp4", "--start", "99", "--faces", "runs:Seer")
    assert done.code == 3
    assert "has no frames from 99 s on" in done.err
    assert list(tmp_path.glob("out*")) == []


# cuts and segments


def test_segments_are_whole_shots_as_long_as_they_may_be() -> None:
    shots = [Shot(0, 9), Shot(10, 14), Shot(15, 39), Shot(40, 44), Shot(45, 49)]
    base = Fraction(1, 10)
    assert cuts_between(shots, base, Fraction(10)) == ()
    assert cuts_between(shots, base, Fraction(2)) == (Fraction(3, 2), Fraction(11, 4), Fraction(9, 2))
    assert cuts_between(shots, base, Fraction(3, 2)) == (Fraction(3, 2), Fraction(11, 4), 4)
    assert cuts_between([], base, Fraction(1)) == ()


CODECS = [
    ("libx264", ".mp4"),
    ("libx264", ".mkv"),
    ("libx265", ".mp4"),
    ("libsvtav1", ".mkv"),
    ("libvpx-vp9", ".webm"),
    ("prores_ks", ".mov"),
    ("ffv1", ".mkv"),
]


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of variable rate with sound."""
    return make_clip(tmp_path_factory.mktemp("gappy") / "a.mp4", Clip(size=(64, 64), gaps=True, audio_tracks=1))


@pytest.mark.parametrize(("codec", "ending"), CODECS)
def test_joined_segments_decode_as_each_alone(gappy: Path, tmp_path: Path, codec: str, ending: str) -> None:
    frames = list(read_frames(gappy))
    borders = [0, 7, 8, 19, len(frames)]  # one of them a single frame
    parts = [frames[first:end] for first, end in pairwise(borders)]
    options = {"codec": codec, "preset": "ultrafast"}
    joined = tmp_path / f"joined{ending}"
    _write_segments(gappy, joined, parts, options)
    alone = []
    for number, part in enumerate(parts):
        path = tmp_path / f"{number}{ending}"
        _write_segments(gappy, path, [part], options, first=frames[0])
        alone += [frame.picture.stored.to_ndarray() for frame in read_frames(path)]
    together = [frame.picture.stored.to_ndarray() for frame in read_frames(joined)]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    with av.open(str(joined)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        decoded_at = [packet.dts for packet in packets if packet.dts is not None]
    assert decoded_at == sorted(set(decoded_at))
    assert all(packet.dts is None or packet.dts <= packet.pts for packet in packets)
    shown = sorted(packets, key=lambda packet: packet.pts)
    assert all(shown[border].is_keyframe for border in borders[:-1])


def _write_segments(source: Path, output: Path, parts, options: dict, first=None) -> None:
    folder = output.with_suffix(".segments")
    folder.mkdir()
    with SegmentedWriter(source, output, **options) as writer:
        writer.keep_in(folder, first or parts[0][0])
        for part in parts:
            for frame in part:
                writer.write(frame)
            writer.cut()


def test_a_file_that_lost_a_frame_is_not_passed_on(gappy: Path, tmp_path: Path) -> None:
    """The finished file is read back: here a segment is exchanged for one of fewer frames behind the writer's back."""
    frames, output, folder = list(read_frames(gappy)), tmp_path / "out.mp4", tmp_path / "segments"
    folder.mkdir()
    with pytest.raises(VideoError, match="ends early"), SegmentedWriter(gappy, output) as writer:
        writer.keep_in(folder, frames[0])
        for frame in frames[:10]:
            writer.write(frame)
        writer.cut()
        for frame in frames[10:]:
            writer.write(frame)
        writer.cut()
        content = (folder / "segment_000001").read_bytes()
        (folder / "segment_000001").write_bytes(content[: len(content) // 2])
    assert not output.exists()
    assert (folder / "segment_000000").exists()
