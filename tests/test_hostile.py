"""Files that are made to do harm are refused with a reason, in bounded memory and time."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import av
import pytest
from media import Clip, make_clip

from vidrestore.errors import VideoError
from vidrestore.terminal import printable
from vidrestore.types import Span
from vidrestore.video import VideoWriter, open_random_access, probe, read_frames
from vidrestore.video.limits import MOST_PIXELS, MOST_STREAMS, check_size

PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile {clip}\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{clip}</BaseURL></Period></MPD>',
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "list.pls": "[playlist]\nFile1={clip}\n",
    "disguised.mp4": "ffconcat version 1.0\nfile {clip}\n",
    "remote.mkv": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
}


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


def with_compressed_header(path: Path, size: int) -> Path:
    """A QuickTime film whose header unpacks to ``size`` bytes."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    packed = box(b"cmvd", struct.pack(">I", size) + zlib.compress(bytes(1 << 20)))
    header = box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + packed))
    path.write_bytes(box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"free", bytes(40)) + header)
    return path


def test_a_header_is_not_unpacked_to_gigabytes(tmp_path):
    with pytest.raises(VideoError, match="a compressed header that unpacks to 2048 MiB, at most 64 MiB are read"):
        probe(with_compressed_header(tmp_path / "bomb.mov", 2 << 30))
    with pytest.raises(VideoError, match="has no video stream"):  # no harm
        probe(with_compressed_header(tmp_path / "small.mov", 1 << 20))


def png(width: int, height: int) -> bytes:
    """A picture with these sides in its header, and next to nothing in it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def film_of(path: Path, content: bytes, sides: tuple[int, int]) -> Path:
    """A film of one packet with ``content``, a PNG; the header says that it has these ``sides``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        packet = av.Packet(content)
        packet.pts = packet.dts = 0
        packet.stream = stream
        container.mux(packet)
    written = path.read_bytes()
    assert written.count(struct.pack(">HH", 64, 48)) == 1
    path.write_bytes(written.replace(struct.pack(">HH", 64, 48), struct.pack(">HH", *sides)))
    return path


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


def element(name: str, content: bytes) -> bytes:
    """An EBML element (RFC 8794), its length in eight bytes."""
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def test_thousands_of_streams_are_too_many(tmp_path):
    track = element("D7", b"\1") + element("83", b"\2") + element("86", b"A_PCM/INT/LIT")
    tracks = b"".join(element("AE", element("73C5", number.to_bytes(2, "big")) + track) for number in range(1, 3001))
    path = tmp_path / "a.mkv"
    film = element("1654AE6B", tracks) + element("1F43B675", element("E7", b"\0"))
    path.write_bytes(element("1A45DFA3", element("4282", b"matroska")) + element("18538067", film))
    begun = time.monotonic()
    with pytest.raises(VideoError, match=f"has more than {MOST_STREAMS} streams"):
        probe(path)
    assert time.monotonic() - begun < 10  # 0.1 s on a quiet machine


def test_an_absurd_duration_changes_nothing(tmp_path):
    path = make_clip(tmp_path / "a.mkv", Clip(count=10))
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Duration, a float of eight bytes
    content[place : place + 8] = struct.pack(">d", 1e12)
    path.write_bytes(content)
    assert probe(path).duration == 1e9
    assert len(list(read_frames(path))) == 10
    assert len(list(read_frames(path, Span(0.0, 0.2)))) == 5
    with open_random_access(path) as access:
        assert len(access.pts) == 10


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
    path = make_clip(tmp_path / "a.mov", Clip(count=4))
    content = bytearray(path.read_bytes())
    place = content.index(b"url \x00\x00\x00\x01")
    content[place + 7] = 0  # no longer: in this file
    path.write_bytes(content)
    reads = [frame.pts for frame in read_frames(path)]
    assert reads == [frame.pts for frame in read_frames(make_clip(tmp_path / "b.mov", Clip(count=4)))]
