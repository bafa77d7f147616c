"""Reading and writing video files keeps everything that is not a face."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media import Clip, drawing, make_audio, make_clip, packets

from vidrestore.errors import ConfigError, VideoError
from vidrestore.types import ColorInfo, Frame, Span, VideoInfo
from vidrestore.video import (
    DecodeReport,
    VideoWriter,
    check_destination,
    fingerprint,
    open_random_access,
    picture_from_rgb,
    probe,
    read_frames,
    stream_start,
)
from vidrestore.video.layout import effective_matrix, effective_range

SHARED = Path(__file__).resolve().parents[2] / "shared" / "clips"
FAST = {"preset": "ultrafast", "crf": 20}


def planes(frame: Frame) -> list[np.ndarray]:
    return [frame.picture.codes(component).copy() for component in frame.picture.layout.components]


def same_planes(one: Frame, other: Frame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(planes(one), planes(other), strict=True))


def seconds(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in read_frames(path)]


def described(info: VideoInfo) -> list:
    """What has to stay. Encoders leave out what is the default: limited range, progressive pictures."""
    color = replace(info.color, full_range=bool(info.color.full_range))
    shape = (info.width, info.height, info.rotation, info.pixel_format)
    return [shape, color, info.sample_aspect_ratio, info.field_order.replace("unknown", "progressive")]


def chapters(container) -> list:
    found = container.chapters()
    return [(item["start"] * item["time_base"], item["end"] * item["time_base"], item["metadata"]) for item in found]


def copy(source: Path, destination: Path, span: Span | None = None, **settings) -> list[str]:
    span = span or Span()
    with VideoWriter(source, destination, span=span, **{**FAST, **settings}) as writer:
        for frame in read_frames(source, span):
            writer.write(frame)
    return writer.warnings


# probe


def test_probe_tells_what_the_container_says(tmp_path):
    clip = Clip(rotation=90, aspect=Fraction(4, 3), full_range=True, audio_tracks=2)
    info = probe(make_clip(tmp_path / "a.mp4", clip))
    assert (info.width, info.height, info.rotation) == (48, 64, 90)
    assert (info.time_base, info.frame_count, info.codec) == (Fraction(1, 12800), 30, "h264")
    assert (info.pixel_format, info.sample_aspect_ratio, info.color.full_range) == ("yuvj420p", Fraction(4, 3), True)
    assert info.duration == pytest.approx(1.2)
    assert [(stream.kind, stream.language) for stream in info.streams[1:]] == [("audio", "eng"), ("audio", "deu")]


def test_probe_says_what_is_wrong(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video, only words\n" * 50)
    cases = {
        tmp_path / "missing.mp4": "does not exist",
        tmp_path: "is a folder",
        tmp_path / "empty.mp4": "is empty",
        tmp_path / "text.mp4": "cannot be opened as a video",
        make_audio(tmp_path / "sound.mp4"): "has no video stream",
    }
    for path, message in cases.items():
        with pytest.raises(VideoError, match=message):
            probe(path)


def test_cover_art_is_not_the_video(tmp_path):
    path = make_clip(tmp_path / "a.mp4", Clip(cover=True, audio_tracks=1))
    assert probe(path).codec == "h264"
    assert copy(path, tmp_path / "b.mp4") == []
    assert packets(tmp_path / "b.mp4", "video")[1] == packets(path, "video")[1]


def test_odd_names_are_local_files(tmp_path):
    path = make_clip(tmp_path / "plain.mp4").rename(tmp_path / "http: %d [1].mp4")
    copy(path, tmp_path / "out: %d.mp4")
    assert seconds(tmp_path / "out: %d.mp4") == seconds(path)


def test_fingerprint_tells_files_apart(tmp_path):
    one, two = make_clip(tmp_path / "1.mp4"), make_clip(tmp_path / "2.mp4", Clip(count=20))
    assert fingerprint(one) == fingerprint(one) != fingerprint(two)
    with pytest.raises(VideoError, match="does not exist"):
        fingerprint(tmp_path / "no.mp4")


# read


@pytest.mark.parametrize("clip", [Clip(), Clip(gaps=True), Clip(start=6400), Clip(gaps=True, start=-1)])
def test_timestamps_are_those_of_the_file(tmp_path, clip):
    clip.start = max(clip.start, 0)
    path = make_clip(tmp_path / "a.mp4", clip)
    report = DecodeReport()
    assert [frame.pts for frame in read_frames(path, report=report)] == clip.pts
    assert (report.frames, report.warnings()) == (clip.count, [])
    assert stream_start(path) == clip.start * clip.time_base


OPEN_GOP = {"preset": "ultrafast", "x264-params": "open-gop=1:bframes=3:keyint=8:min-keyint=8:scenecut=0:b-adapt=0"}


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.mp4", Clip()),
        ("a.mkv", Clip(gaps=True, start=6400)),
        ("open.mkv", Clip(options=OPEN_GOP, size=(96, 64))),
        ("a.ts", Clip(time_base=Fraction(1, 90000), step=3600)),
        ("a.avi", Clip(time_base=Fraction(1, 25), step=1, options={"preset": "ultrafast", "bf": "0", "g": "10"})),
        ("late.mp4", Clip(start=6400, rotation=270)),
    ],
)
def test_a_span_is_the_same_frames_as_in_a_whole_read(tmp_path, name, clip):
    path = make_clip(tmp_path / name, clip)
    whole, start = list(read_frames(path)), stream_start(path)
    for span in (Span(0.0, 0.3), Span(0.2, 0.48), Span(0.31, 0.33 + 0.08), Span(0.84), Span(1.0, 9.0)):
        expected = [frame for frame in whole if float(frame.pts * frame.time_base - start) in span]
        found = list(read_frames(path, span))
        assert [frame.pts for frame in found] == [frame.pts for frame in expected]
        assert all(same_planes(a, b) for a, b in zip(found, expected, strict=True))


def test_a_span_without_frames_is_an_error(tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"has no frames from 30 s to 40 s; it is 1\.2 s long"):
        list(read_frames(path, Span(30, 40)))


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {})])
def test_a_truncated_file_yields_what_it_holds(tmp_path, name, options):
    path = make_clip(tmp_path / "whole.mkv", Clip(count=60))
    with av.open(str(path)) as source, av.open(str(tmp_path / name), "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    cut = tmp_path / name
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    report = DecodeReport()
    count = len(list(read_frames(cut, report=report)))
    assert 10 < count < 55
    assert report.truncated
    assert abs(report.expected_frames - 60) <= (0 if name == "a.mp4" else 4)
    assert f"the file ends early: {count} of {report.expected_frames} frames could be decoded" in report.warnings()


def test_damaged_packets_are_counted(tmp_path):
    path = make_clip(tmp_path / "a.mkv", Clip(size=(160, 128), count=50))
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8)
    content[len(content) // 2 : len(content) // 2 + 300] = noise.tobytes()
    path.write_bytes(content)
    report = DecodeReport()
    frames = list(read_frames(path, report=report))
    assert len(frames) >= 30
    assert report.packets_failed + report.corrupt_frames > 0
    assert report.warnings()
    assert all(a.pts < b.pts for a, b in pairwise(frames))


def test_a_format_that_cannot_be_edited_is_converted_with_a_warning(tmp_path):
    path = make_clip(tmp_path / "a.nut", Clip(codec="rawvideo", pixel_format="rgb555le", options={}, count=3))
    report = DecodeReport()
    frame = next(iter(list(read_frames(path, report=report))))
    assert np.abs(frame.image.astype(int) - drawing(0, 64, 48)).mean() < 5
    assert "rgb555le" in report.warnings()[0]


# pictures

PATCHES = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 40), (20, 180, 60), (30, 40, 210), (250, 200, 160)]
FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuvj420p",
    "nv12",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "gbrp",
    "gbrp10le",
    "rgb24",
    "bgra",
]


def codes_of(rgb, matrix: int, full_range: bool, bits: int) -> list[int]:
    """Rec. ITU-R BT.601 and BT.709, equation by equation."""
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    r, g, b = (level / 255 for level in rgb)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)
    if full_range:
        top, half = 2**bits - 1, 2 ** (bits - 1)
        return [round(luma * top), *(min(round(c * top + half), top) for c in chroma)]
    return [round((16 + 219 * luma) * 2 ** (bits - 8)), *(round((128 + 224 * c) * 2 ** (bits - 8)) for c in chroma)]


@pytest.mark.parametrize("matrix", [1, 6, 2])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "nv12", "yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("size", [(64, 48), (37, 21)])
def test_known_colours(name, full_range, matrix, size):
    blank = np.zeros((size[1], size[0], 3), np.uint8)
    for rgb in PATCHES:
        picture = picture_from_rgb(blank, pixel_format=name, color=ColorInfo(matrix=matrix, full_range=full_range))
        expected = codes_of(rgb, 6 if matrix == 2 else matrix, full_range, picture.layout.bits)
        for component, code in zip(picture.layout.components, expected, strict=True):
            picture.codes(component)[...] = code
        assert np.abs(picture.rgb().astype(int) - rgb).max() <= 2


def test_matrix_and_range_where_they_are_not_tagged():
    assert [effective_matrix(ColorInfo(), height) for height in (480, 720, 1080)] == [6, 1, 1]
    assert [effective_range(name, None) for name in ("yuv420p", "yuvj420p", "gray", "rgb24")] == [1, 2, 2, 2]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (37, 21)])
def test_add_changes_rgb_by_the_difference_and_nothing_else(name, size):
    image = np.full((size[1], size[0], 3), (120, 100, 90), np.uint8)
    picture = picture_from_rgb(image, pixel_format=name)
    before, old = picture.rgb().astype(int), planes(Frame(0, Fraction(1), picture))
    difference = np.full((12, 10, 3), (24.0, -18.0, 12.0), np.float32)
    picture.add(8, 4, difference)
    change = picture.rgb().astype(int) - before
    assert np.abs(change[5:15, 9:17] - (24, -18, 12)).max() <= 2
    for component, was in zip(picture.layout.components, old, strict=True):
        mask = np.ones(was.shape, bool)
        wide, high = component.block_width, component.block_height
        mask[4 // high : 16 // high, 8 // wide : 18 // wide] = False
        assert np.array_equal(picture.codes(component)[mask], was[mask])
        assert not np.array_equal(picture.codes(component)[~mask], was[~mask])


@pytest.mark.parametrize("name", [*FORMATS, "gray", "gray10le"])
def test_no_difference_changes_no_bit(name):
    picture = picture_from_rgb(drawing(3, 37, 21), pixel_format=name)
    old = planes(Frame(0, Fraction(1), picture))
    picture.add(-5, 3, np.zeros((40, 30, 3), np.float32))
    picture.add(100, 3, np.ones((4, 4, 3), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(planes(Frame(0, Fraction(1), picture)), old, strict=True))


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "rgb24", "gray"])
def test_codes_are_clipped(name):
    picture = picture_from_rgb(drawing(3, 36, 20), pixel_format=name)
    picture.add(0, 0, np.full((20, 36, 3), 900, np.float32))
    assert picture.codes(picture.layout.components[0]).min() == 2**picture.layout.bits - 1
    picture.add(0, 0, np.full((20, 36, 3), -2000, np.float32))
    assert picture.codes(picture.layout.components[0]).max() == 0


@pytest.mark.parametrize("name", ["gray", "gray10le"])
def test_gray_stays_gray(name):
    picture = picture_from_rgb(drawing(3, 37, 21), pixel_format=name)
    picture.add(2, 2, np.full((9, 9, 3), (40, 0, 0), np.float32))
    assert np.ptp(picture.rgb().astype(int), axis=2).max() == 0


@pytest.mark.parametrize("left", [0, 35, 36])
def test_a_block_cut_by_the_edge_gets_the_whole_change(left):
    picture = picture_from_rgb(np.full((21, 37, 3), 120, np.uint8))
    blue = picture.layout.components[1]
    before = picture.codes(blue).astype(int).copy()
    picture.add(left, 0, np.full((21, 1, 3), (0, 0, 80), np.float32))
    change = picture.codes(blue).astype(int) - before
    assert change[3, left // 2] == (35 if left == 36 else 18)
    assert np.count_nonzero(change.any(axis=0)) == 1


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_respected_both_ways(tmp_path, rotation):
    still = next(read_frames(make_clip(tmp_path / "0.mp4", Clip(size=(64, 36), count=2))))
    turned = next(read_frames(make_clip(tmp_path / "1.mp4", Clip(size=(64, 36), count=2, rotation=rotation))))
    assert turned.picture.rotation == rotation
    assert np.array_equal(turned.image, np.rot90(still.image, rotation // 90))
    before = turned.image.astype(int)
    turned.picture.add(6, 10, np.full((8, 12, 3), 30, np.float32))
    change = (turned.image.astype(int) - before).mean(axis=2)
    inside = change[10:18, 6:18]
    assert abs(inside.mean() - 30) < 2
    assert np.abs(change).sum() - np.abs(inside).sum() < 2 * change.size * 0.1


def test_rgb_is_kept_and_read_only():
    picture = picture_from_rgb(drawing(0, 64, 48))
    first = picture.rgb()
    assert first is picture.rgb()
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0
    old = first.copy()
    picture.add(0, 0, np.full((8, 8, 3), 30, np.float32))
    assert np.array_equal(first, old)
    assert picture.rgb()[4, 4, 1] > first[4, 4, 1]


def test_add_is_fast_enough_for_1080p():
    picture = picture_from_rgb(np.zeros((1080, 1920, 3), np.uint8))
    difference = np.ones((400, 400, 3), np.float32)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        picture.add(501, 301, difference)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.03  # 3 ms on a quiet machine


# write

KEPT = {
    "constant": Clip(audio_tracks=1),
    "variable": Clip(gaps=True, audio_tracks=1),
    "late": Clip(start=6400, audio_tracks=1),
    "rotated": Clip(rotation=270),
    "aspect": Clip(aspect=Fraction(16, 15), full_range=False),
    "ten bit": Clip(pixel_format="yuv420p10le", codec="libx265", options={"x265-params": "log-level=none"}, count=8),
    "422": Clip(pixel_format="yuv422p"),
    "444": Clip(pixel_format="yuv444p"),
    "gray": Clip(pixel_format="gray"),
    "full": Clip(pixel_format="yuvj420p"),
    "thirds": Clip(time_base=Fraction(1001, 30000), step=1),
    "chapters": Clip(chapters=True, audio_tracks=2, metadata={"title": "A title"}),
    "own key": Clip(metadata={"com.example.key": "kept"}, muxer_options={"movflags": "use_metadata_tags"}),
    "top field first": Clip(options={"preset": "ultrafast", "x264-params": "tff=1"}, interlaced=True, size=(64, 64)),
    "bottom field first": Clip(options={"preset": "ultrafast", "x264-params": "bff=1"}, interlaced=True, size=(64, 64)),
}


@pytest.mark.parametrize("name", KEPT)
def test_an_mp4_keeps_everything(tmp_path, name):
    clip = KEPT[name]
    source, output = make_clip(tmp_path / "a.mp4", clip), tmp_path / "b.mp4"
    assert copy(source, output) == []
    one, two = probe(source), probe(output)
    assert seconds(output) == seconds(source)
    assert packets(output, "audio") == packets(source, "audio")
    assert described(one) == described(two)
    with av.open(str(source)) as before, av.open(str(output)) as after:
        assert chapters(before) == chapters(after)
        for key in clip.metadata:
            assert after.metadata[key] == before.metadata[key]
        assert [s.disposition for s in before.streams] == [s.disposition for s in after.streams]
    assert not list(tmp_path.glob("*.part*"))


def test_an_mkv_keeps_sound_and_subtitles(tmp_path):
    source, output = make_clip(tmp_path / "a.mkv", Clip(audio_tracks=2, subtitle=True)), tmp_path / "b.mkv"
    assert copy(source, output) == []
    for kind in ("audio", "subtitle"):
        assert packets(output, kind) == packets(source, kind)
    assert seconds(output) == seconds(source)
    assert [s.language for s in probe(output).streams] == [s.language for s in probe(source).streams]


def test_a_transport_stream_becomes_an_mp4(tmp_path):
    source = make_clip(tmp_path / "a.ts", Clip(time_base=Fraction(1, 90000), step=3600))
    copy(source, tmp_path / "b.mp4")
    assert seconds(tmp_path / "b.mp4") == seconds(source)


@pytest.mark.parametrize(
    ("codec", "name", "size"),
    [
        ("ffv1", "yuv420p", (37, 21)),
        ("ffv1", "yuv422p10le", (37, 21)),
        ("ffv1", "gray", (37, 21)),
        ("ffv1", "bgr0", (37, 21)),
        ("libx264", "yuvj420p", (64, 48)),
    ],
)
def test_ffv1_keeps_every_bit(tmp_path, codec, name, size):
    source = make_clip(tmp_path / "a.mkv", Clip(codec=codec, pixel_format=name, options={}, count=5, size=size))
    assert copy(source, tmp_path / "b.mkv", codec="ffv1") == []
    for one, two in zip(read_frames(source), read_frames(tmp_path / "b.mkv"), strict=True):
        assert same_planes(one, two)
        assert np.array_equal(one.image, two.image)


def test_odd_sizes_keep_every_pixel(tmp_path):
    source = make_clip(tmp_path / "a.mkv", Clip(codec="ffv1", options={}, count=5, size=(37, 21)))
    (warning,) = copy(source, tmp_path / "b.mp4", crf=1)
    assert "converted to yuv444p" in warning
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.pixel_format) == (37, 21, "yuv444p")
    first, second = next(read_frames(source)), next(read_frames(tmp_path / "b.mp4"))
    assert np.abs(first.image.astype(int) - second.image).mean() < 3


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("libx265", "b.mp4", "yuvj420p"),
        ("libsvtav1", "b.mp4", "yuv420p"),
        ("libvpx-vp9", "b.webm", "yuv420p"),
        ("prores_ks", "b.mov", "yuv422p10le"),
        ("ffv1", "b.mkv", "yuv420p"),
    ],
)
def test_every_codec_keeps_time_and_colour(tmp_path, codec, name, pixel_format):
    source = make_clip(tmp_path / "a.mp4", Clip(pixel_format="yuvj420p", count=8, size=(128, 96)))
    copy(source, tmp_path / name, codec=codec)
    assert probe(tmp_path / name).pixel_format == pixel_format
    assert seconds(tmp_path / name) == seconds(source)
    for one, two in zip(read_frames(source), read_frames(tmp_path / name), strict=True):
        assert np.abs(one.image.astype(int) - two.image).mean() < 4


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hdr10_is_kept(tmp_path, codec):
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    clip = Clip(pixel_format="yuv420p10le", codec="libx265", count=4)
    clip.options = {"preset": "ultrafast", "x265-params": f"log-level=none:hdr10=1:{display}"}
    source = make_clip(tmp_path / "a.mp4", clip)
    copy(source, tmp_path / "b.mp4", codec=codec)
    one, two = next(read_frames(source)).picture, next(read_frames(tmp_path / "b.mp4")).picture
    for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"):
        assert one.side_data(name) is not None
        assert one.side_data(name) == two.side_data(name)


def test_rgb_sources_keep_their_colours(tmp_path):
    source = make_clip(tmp_path / "a.mkv", Clip(codec="ffv1", pixel_format="bgr0", options={}, count=3))
    (warning,) = copy(source, tmp_path / "b.mp4", crf=5)
    assert "RGB" in warning
    first, second = next(read_frames(source)), next(read_frames(tmp_path / "b.mp4"))
    assert np.abs(first.image.astype(int) - second.image).mean() < 3


def test_a_span_is_written_from_zero(tmp_path):
    source = make_clip(tmp_path / "a.mp4", Clip(count=60, audio_tracks=1, start=6400, chapters=True))
    output, span = tmp_path / "b.mp4", Span(0.8, 1.6)
    copy(source, output, span)
    assert seconds(output) == [Fraction(index, 25) for index in range(20)]
    (kept,), (before,) = packets(output, "audio"), packets(source, "audio")
    contents = [content for _, content in before]
    first = contents.index(kept[0][1])
    assert [content for _, content in kept] == contents[first : first + len(kept)]
    assert 0 <= kept[0][0] < 0.03
    assert 0.75 < kept[-1][0] < 0.8


def test_comments_are_added(tmp_path):
    source = make_clip(tmp_path / "a.mp4", Clip(metadata={"comment": "theirs"}))
    copy(source, tmp_path / "b.mp4", comment="ours")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["comment"] == "theirs; ours"


def test_composed_pictures_are_upright(tmp_path):
    source = make_clip(tmp_path / "a.mp4", Clip(rotation=90, count=5))
    with VideoWriter(source, tmp_path / "b.mp4", size=(96, 64), **FAST) as writer:
        for frame in read_frames(source):
            picture = picture_from_rgb(np.hstack([frame.image, frame.image]), color=frame.picture.color)
            writer.write(Frame(frame.pts, frame.time_base, picture))
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation) == (96, 64, 0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_destination_alone(tmp_path, error):
    source, output = make_clip(tmp_path / "a.mp4", Clip(audio_tracks=1)), tmp_path / "b.mp4"
    output.write_text("older")
    with pytest.raises(error), VideoWriter(source, output, **FAST) as writer:
        for frame in read_frames(source):
            writer.write(frame)
            if frame.pts > 5000:
                raise error
    assert output.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_no_frames_is_an_error(tmp_path):
    source = make_clip(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="no frame was written"), VideoWriter(source, tmp_path / "b.mp4"):
        pass


def test_destinations_are_checked_first(tmp_path):
    source = make_clip(tmp_path / "a.mp4")
    (tmp_path / "link.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    (tmp_path / "folder.mp4").mkdir()
    cases = {
        "a.mp4": "is the input itself",
        "link.mp4": "is the input itself",
        "hard.mp4": "is the input itself",
        "folder.mp4": "is a folder",
        "no/b.mp4": "does not exist",
        "b.xyz": "choose one of .mp4",
        "b": "choose one of .mp4",
    }
    for name, message in cases.items():
        with pytest.raises(VideoError, match=message):
            check_destination(source, tmp_path / name)
    for name in ("b.mp4", "b.mov", "b.webm"):
        with pytest.raises(VideoError, match=r"b\.mkv"):
            check_destination(source, tmp_path / name, "ffv1")
    with pytest.raises(ConfigError, match="libx264"):
        check_destination(source, tmp_path / "b.mp4", "h265")
    with pytest.raises(ConfigError, match="medium"):
        check_destination(source, tmp_path / "b.mp4", "libx264", "quickly")
    check_destination(source, tmp_path / "b.mp4")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on file size")
@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, name):
    source = make_clip(tmp_path / "a.mp4", Clip(size=(320, 240), count=40))
    program = f"""
import resource
from pathlib import Path
from vidrestore.errors import VideoError
from vidrestore.video import VideoWriter, read_frames
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
source = Path({str(source)!r})
try:
    with VideoWriter(source, source.with_name({name!r}), crf=1) as writer:
        for frame in read_frames(source):
            writer.write(frame)
except VideoError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "could not be written: File too large" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


# random access


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.mp4", Clip()),
        ("gaps.mkv", Clip(gaps=True, start=6400)),
        ("open.mkv", Clip(options=OPEN_GOP)),
        ("turned.mp4", Clip(rotation=90)),
        ("a.ts", Clip(time_base=Fraction(1, 90000), step=3600, count=12)),
    ],
)
def test_random_access_is_exact(tmp_path, name, clip):
    path = make_clip(tmp_path / name, clip)
    whole = {frame.pts: frame for frame in read_frames(path)}
    with open_random_access(path) as access:
        assert list(access.pts) == list(whole)
        assert access.served_by.startswith(("pyav: ", "decord: "))
        for pts in np.random.default_rng(0).permutation(access.pts)[:12].tolist():
            frame = access.frame_at(pts)
            assert frame.pts == pts
            if access.served_by.startswith("pyav"):
                assert same_planes(frame, whole[pts])
            assert np.abs(frame.image.astype(int) - whole[pts].image).mean() < 3
        with pytest.raises(VideoError, match="no frame with pts"):
            access.frame_at(-77)


def test_importing_loads_neither_decord_nor_torch():
    program = "import sys, vidrestore.video; print({'decord', 'torch', 'cv2'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


# real clips


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared clips are not beside the repository")
@pytest.mark.parametrize("name", ["phone_selfie_rot90_vfr_hevc", "talking_head_10bit_hevc", "interview_vfr_360p"])
def test_real_clips_keep_what_is_not_a_face(tmp_path, name):
    source, output, span = SHARED / f"{name}.mp4", tmp_path / "b.mp4", Span(0.4, 0.8)
    copy(source, output, span)
    one, two = probe(source), probe(output)
    assert described(one) == described(two)
    begin = stream_start(source) + Fraction(2, 5)
    expected = [frame.pts * frame.time_base - begin for frame in read_frames(source, span)]
    assert seconds(output) == pytest.approx(expected, abs=1e-9)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared clips are not beside the repository")
def test_a_second_video_stream_is_copied(tmp_path):
    source = SHARED / "phone_selfie_rot90_vfr_hevc.mp4"
    with VideoWriter(source, tmp_path / "b.mp4", **FAST) as writer:
        writer.write(next(read_frames(source)))
    assert packets(tmp_path / "b.mp4", "video")[1] == packets(source, "video")[1]
    assert len(writer.warnings) == 2  # two data streams


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared clips are not beside the repository")
def test_a_real_clip_without_faces_survives_ffv1(tmp_path):
    source, span = SHARED / "noface_flower_720p.mp4", Span(0.0, 0.3)
    copy(source, tmp_path / "b.mkv", span, codec="ffv1")
    pairs = zip(read_frames(source, span), read_frames(tmp_path / "b.mkv"), strict=True)
    assert all(same_planes(one, two) and np.array_equal(one.image, two.image) for one, two in pairs)
