"""Files that are damaged, or made to do harm."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
from media import Clip, make_clip

TRANSPORT = {"time_base": Fraction(1, 90000), "step": 3600}
GARBAGE = range(15, 19)
PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile {clip}\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{clip}</BaseURL></Period></MPD>',
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "list.pls": "[playlist]\nFile1={clip}\n",
    "disguised.mp4": "ffconcat version 1.0\nfile {clip}\n",
    "remote.mkv": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
}


def joined(folder: Path, *clips: Clip) -> Path:
    """Transport streams end to end, as recorders leave them."""
    parts = [make_clip(folder / f"{number}.ts", clip) for number, clip in enumerate(clips)]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def with_garbage(source: Path, path: Path) -> Path:
    """A copy whose packets ``GARBAGE`` are zeros, with their times."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(container.streams.video[0])):
            if not packet.size:
                continue
            written = av.Packet(bytes(packet.size)) if number in GARBAGE else packet
            written.pts, written.dts, written.duration = packet.pts, packet.dts, packet.duration
            written.time_base, written.stream = packet.time_base, stream
            output.mux(written)
    return path


def with_compressed_header(path: Path, size: int) -> Path:
    """A QuickTime film whose header unpacks to ``size`` bytes."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    packed = box(b"cmvd", struct.pack(">I", size) + zlib.compress(bytes(1 << 20)))
    header = box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + packed))
    path.write_bytes(box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"free", bytes(40)) + header)
    return path


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


def element(name: str, content: bytes) -> bytes:
    """An EBML element (RFC 8794), its length in eight bytes."""
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def ages(path: Path) -> Path:
    """Makes a clip that claims to last for 31 years."""
    content = bytearray(make_clip(path, Clip(count=8, size=(96, 80))).read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Duration, a float of eight bytes
    content[place : place + 8] = struct.pack(">d", 1e12)
    path.write_bytes(content)
    return path


def elsewhere(path: Path) -> Path:
    """Makes a QuickTime clip that says that its frames are in another file (``dref``)."""
    content = bytearray(make_clip(path, Clip(count=8, size=(96, 80))).read_bytes())
    content[content.index(b"url \x00\x00\x00\x01") + 7] = 0  # no longer: in this file
    path.write_bytes(content)
    return path


def crowd(path: Path) -> Path:
    """Makes an mkv of three thousand streams."""
    track = element("D7", b"\1") + element("83", b"\2") + element("86", b"A_PCM/INT/LIT")
    tracks = b"".join(element("AE", element("73C5", number.to_bytes(2, "big")) + track) for number in range(1, 3001))
    film = element("1654AE6B", tracks) + element("1F43B675", element("E7", b"\0"))
    path.write_bytes(element("1A45DFA3", element("4282", b"matroska")) + element("18538067", film))
    return path
