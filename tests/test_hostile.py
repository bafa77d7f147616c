"""Files that are made to do harm are refused with a reason, in bounded memory and time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import av
import pytest
from broken import PLAYLISTS, ages, crowd, elsewhere, film_of, png, with_compressed_header
from media import Clip, make_clip

from vidrestore.errors import VideoError
from vidrestore.terminal import printable
from vidrestore.types import Span
from vidrestore.video import VideoWriter, open_random_access, probe, read_frames
from vidrestore.video.limits import MOST_PIXELS, MOST_STREAMS, check_size


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_is_not_followed(tmp_path, name):
    clip = make_clip(tmp_path / "clip.ts", Clip(count=3))
    (tmp_path / name).write_text(PLAYLISTS[name].format(clip=clip))
    with pytest.raises(VideoError, match=r"it is a playlist .*give the file with the video itself"):
        probe(tmp_path / name)


def test_a_text_is_not_shown_as_a_film(tmp_path):
    """FFmpeg draws it, letter by letter."""
    (tmp_path / "a.txt").write_text("hello " * 1000)
    with pytest.raises(VideoError, match="its format is not one that is read here"):
        probe(tmp_path / "a.txt")


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(VideoError, match="is a pipe or a device"):
            probe(path)


def test_a_header_is_not_unpacked_to_gigabytes(tmp_path):
    with pytest.raises(VideoError, match="a compressed header that unpacks to 2048 MiB, at most 64 MiB are read"):
        probe(with_compressed_header(tmp_path / "bomb.mov", 2 << 30))
    with pytest.raises(VideoError, match="has no video stream"):  # no harm
        probe(with_compressed_header(tmp_path / "small.mov", 1 << 20))


@pytest.mark.parametrize("claimed", [(60000, 60000), (64, 48)])
def test_a_picture_is_not_allocated_because_a_header_says_so(tmp_path, claimed):
    """Neither where the container claims its size, nor where only the picture itself does."""
    path = film_of(tmp_path / "a.mov", png(60000, 60000), claimed)
    before = peak_mib()
    with pytest.raises(VideoError, match=r"claims pictures of 60000x60000|contains no decodable frames"):
        probe(path)
    assert peak_mib() - before < 256  # 10 GiB in RGB


def test_the_limit_on_pixels_is_said():
    check_size(Path("a.mp4"), 8192, 8192)
    with pytest.raises(VideoError, match="claims pictures of 8192x8193, 67 million pixels; at most 67 million"):
        check_size(Path("a.mp4"), 8192, 8193)
    assert MOST_PIXELS == 8192 * 8192


def peak_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_thousands_of_streams_are_too_many(tmp_path):
    path = crowd(tmp_path / "a.mkv")
    begun = time.monotonic()
    with pytest.raises(VideoError, match=f"has more than {MOST_STREAMS} streams"):
        probe(path)
    assert time.monotonic() - begun < 10  # 0.1 s on a quiet machine


def test_an_absurd_duration_changes_nothing(tmp_path):
    path = ages(tmp_path / "a.mkv")
    assert probe(path).duration == 1e9
    assert len(list(read_frames(path))) == 8
    assert len(list(read_frames(path, Span(0.0, 0.2)))) == 5
    with open_random_access(path) as access:
        assert len(access.pts) == 8


def test_metadata_does_what_no_one_obeys(tmp_path, command):
    """Escape sequences and marks of direction in tags; names of attachments that climb out of their folder."""
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    source = folder / "a.mkv"
    with av.open(str(make_clip(tmp_path / "plain.mkv", Clip(count=4)))) as clip, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(clip.streams.video[0])
        container.metadata["title"] = "\x1b]0;owned\x07\x1b[2J"
        container.metadata["comment"] = "../../../etc/passwd"
        container.add_attachment("../../../climbed.ttf", "font/ttf", b"font")
        for packet in clip.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with VideoWriter(source, folder / "b.mkv", crf=20, preset="ultrafast") as writer:
        for frame in read_frames(source):
            writer.write(frame)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.mkv", "b.mkv", "deep", "in", "plain.mkv"]
    with av.open(str(folder / "b.mkv")) as container:
        assert container.metadata["title"] == "\x1b]0;owned\x07\x1b[2J"  # kept as it is, and never printed so
    done = command("analyze", tmp_path / "\x1b[31mno.mp4")
    assert done.code == 3
    assert "\x1b" not in done.out + done.err
    assert "\\x1b[31mno.mp4 does not exist" in done.err


def test_what_a_terminal_obeys_is_escaped():
    assert printable("Zoë 'é' 日本\nnext") == "Zoë 'é' 日本\nnext"
    assert printable("a\x1b[2Jb\x07\x9b\r\udc80") == "a\\x1b[2Jb\\x07\\x9b\\r\\udc80"
    assert printable("gpj\u202eexe") == "gpj\\u202eexe"


def test_another_file_is_not_read_through_a_reference(tmp_path):
    """A QuickTime film may say that its frames are in another file (``dref``)."""
    path = elsewhere(tmp_path / "a.mov")
    reads = [frame.pts for frame in read_frames(path)]
    assert reads == [frame.pts for frame in read_frames(make_clip(tmp_path / "b.mov", Clip(count=8, size=(96, 80))))]
