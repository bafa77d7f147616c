"""Damaged films come back whole: what can be decoded is, in its place, and what cannot is said."""

from __future__ import annotations

import gc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from broken import GARBAGE, TRANSPORT, joined, with_garbage
from media import Clip, make_clip

from vidrestore.types import Span
from vidrestore.video import DecodeReport, VideoWriter, open_random_access, read_frames
from vidrestore.video.timing import in_time


def read(path: Path) -> tuple[list, DecodeReport]:
    report = DecodeReport()
    return list(read_frames(path, report=report)), report


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_gap_leaves_all_others_in_their_place(tmp_path, name):
    source = make_clip(tmp_path / f"whole_{name}", Clip(size=(96, 64), count=40))
    whole, _ = read(source)
    frames, report = read(with_garbage(source, tmp_path / name))
    base = frames[0].time_base
    times = {frame.pts * frame.time_base for frame in whole}
    assert len(frames) == len(whole) - len(GARBAGE)
    assert {frame.pts * base for frame in frames} <= times
    assert (report.packets_failed, report.lost_frames, report.truncated) == (4, 4, False)
    missing = sorted(times - {frame.pts * base for frame in frames})
    assert report.first_lost == pytest.approx(float(missing[0]))
    assert "4 frames of the file gave no picture, the first at" in " ".join(report.warnings())


def test_the_last_frames_before_a_cut_are_not_lost(tmp_path):
    """With several threads, PyAV forgets what the decoder holds when the last packet is damaged."""
    path = make_clip(tmp_path / "a.mp4", Clip(size=(160, 120), count=40, muxer_options={"movflags": "faststart"}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        alone = 0
        for packet in container.demux(stream):
            try:
                alone += len(stream.decode(packet))
            except av.FFmpegError:
                continue
    frames, report = read(path)
    assert len(frames) == alone > 10
    assert report.truncated
    assert f"the file ends early: {alone} of 40 frames" in report.warnings()[0]


def test_a_recording_that_begins_in_mid_picture_says_what_is_missing(tmp_path):
    content = make_clip(tmp_path / "a.ts", Clip(count=40, size=(160, 120), **TRANSPORT)).read_bytes()
    (tmp_path / "cut.ts").write_bytes(content[len(content) // 188 // 4 * 188 :])
    frames, report = read(tmp_path / "cut.ts")
    assert 20 <= len(frames) < 40
    assert report.lost_frames >= 1


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "mpeg2video", "mpeg4"])
def test_a_healthy_file_has_nothing_to_report(tmp_path, codec):
    """Also where packets hold frames that are never shown, as VP8 and VP9 have them."""
    hidden = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"} if codec.startswith("libvpx") else {"bf": "2"}
    clip = Clip(count=40, codec=codec, options=hidden, time_base=Fraction(1, 25), step=1)
    frames, report = read(make_clip(tmp_path / "a.mkv", clip))
    assert (len(frames), report.warnings()) == (40, [])


def test_pictures_of_another_size_are_made_to_fit(tmp_path):
    path = joined(tmp_path, Clip(count=6, **TRANSPORT), Clip(count=6, size=(96, 48), **TRANSPORT))
    frames, report = read(path)
    assert len(frames) == 12
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    wide = frames[9].image.astype(int)
    assert wide[:7].max() < 12  # black above and below: the picture keeps its shape, two to one
    assert wide[-7:].max() < 12
    assert wide[10:38].std() > 20
    (change,) = report.changes
    assert change.endswith("the picture is 96x48 yuv420p in the file; it was made to fit 64x48 yuv420p, the first")


def test_a_pixel_format_that_changes_is_made_to_fit(tmp_path):
    deep = Clip(count=6, pixel_format="yuv422p10le", **TRANSPORT)
    frames, report = read(joined(tmp_path, Clip(count=6, **TRANSPORT), deep))
    assert {frame.picture.layout.name for frame in frames} == {"yuv420p"}
    assert np.abs(frames[3].image.astype(int) - frames[9].image).mean() < 3  # the same drawing, coded twice
    assert len(report.changes) == 1


def test_a_changed_size_is_written_and_sought_as_it_is_read(tmp_path):
    path = joined(tmp_path, Clip(count=6, **TRANSPORT), Clip(count=6, size=(96, 48), **TRANSPORT))
    frames, _ = read(path)
    with VideoWriter(path, tmp_path / "b.mp4", crf=20, preset="ultrafast") as writer:
        for frame in read_frames(path):
            writer.write(frame)
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 12
    with open_random_access(path) as access:
        assert np.array_equal(access.frame_at(frames[8].pts).image, frames[8].image)
        assert access.served_by.startswith("pyav: mpegts cannot be sought exactly")


def test_random_access_goes_on_where_decord_fails(tmp_path):
    """It may agree on the frames that are compared, and fail at a damaged packet between them."""
    path = with_garbage(make_clip(tmp_path / "whole.mp4", Clip(size=(96, 80), count=40)), tmp_path / "a.mp4")
    with open_random_access(path) as access:
        for frame in read_frames(path):
            difference = access.frame_at(frame.pts).image.astype(int) - frame.image
            assert np.abs(difference).mean() < 3  # decord's conversion to RGB is coarser


def test_joined_files_go_on_where_the_first_ends(tmp_path):
    frames, report = read(joined(tmp_path, Clip(count=6, **TRANSPORT), Clip(count=6, **TRANSPORT)))
    assert [b.pts - a.pts for a, b in pairwise(frames)] == [3600] * 11
    assert report.repaired_pts == 6
    assert not report.truncated


def stamped(*stamps: int | None) -> list[int]:
    """What timestamps become; frames last 10 ticks."""
    frames = []
    for stamp in stamps:
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.duration = stamp, 10
        frames.append(frame)
    return [pts for _, pts, _ in in_time(frames)]


@pytest.mark.parametrize(
    ("stamps", "repaired"),
    [
        ([0, 10, 20, 45, 55], [0, 10, 20, 45, 55]),
        ([-20, -10, 0], [-20, -10, 0]),
        ([0, 10, None, 30], [0, 10, 20, 30]),
        ([None, None, None], [0, 10, 20]),
        ([None, 50, 60], [40, 50, 60]),
        ([0, 10, 10, 30], [0, 10, 20, 30]),
        ([0, 10, 10, 20, 30], [0, 10, 15, 20, 30]),
        ([0, 10, 5, 30], [0, 10, 20, 30]),
        ([0, 10, 9000, 30, 40], [0, 10, 20, 30, 40]),
        ([9000, 10, 20], [0, 10, 20]),
        ([100, 110, 0, 10, 20], [100, 110, 120, 130, 140]),
        ([0, 10, 7000, 7010], [0, 10, 7000, 7010]),
    ],
)
def test_timestamps_that_do_not_rise_are_repaired_and_no_others(stamps, repaired):
    assert stamped(*stamps) == repaired


def test_a_video_that_begins_after_its_sound_stays_there(tmp_path):
    source = make_clip(tmp_path / "a.mkv", Clip(count=10, start=3 * 12800, audio_tracks=1))
    with VideoWriter(source, tmp_path / "b.mkv", crf=20, preset="ultrafast") as writer:
        for frame in read_frames(source):
            writer.write(frame)
    before, after = (next(read_frames(path)) for path in (source, tmp_path / "b.mkv"))
    assert after.pts * after.time_base == before.pts * before.time_base == 3
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert next(container.demux(audio=0)).pts <= 0  # in milliseconds; AAC begins with its priming


def test_damaged_sound_is_left_out_and_said(tmp_path):
    """Matroska takes AAC only without its frame headers, and one that cannot be read cannot be taken off."""
    source = make_clip(tmp_path / "a.ts", Clip(count=24, audio_tracks=1, **TRANSPORT))
    content = bytearray(source.read_bytes())
    headers = [place for place in range(len(content) - 1) if content[place : place + 2] == b"\xff\xf1"]
    content[headers[len(headers) // 2] + 1] = 0
    source.write_bytes(content)
    with VideoWriter(source, tmp_path / "b.mkv", crf=20, preset="ultrafast") as writer:
        for frame in read_frames(source):
            writer.write(frame)
    assert len(list(read_frames(tmp_path / "b.mkv"))) == 24
    assert any("damaged packets of the audio stream 1" in warning for warning in writer.warnings)


def test_frames_are_freed_as_they_pass(tmp_path):
    """A reference cycle would keep each one until Python collects its garbage: gigabytes, in a large film."""
    path = make_clip(tmp_path / "a.mp4", Clip(count=10))
    gc.collect()
    gc.disable()
    try:
        for _ in read_frames(path, Span(0.0, 0.3)):
            pass
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [item for item in gc.garbage if isinstance(item, av.VideoFrame)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
