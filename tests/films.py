"""Films with every kind of stream, and what a file holds when it is demuxed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioResampler, Packet, VideoFrame
from av.stream import Disposition
from media import AUDIO_RATE, drawing

MILLISECOND = Fraction(1, 1000)
STYLES = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
TEXTS = {
    "subrip": ((100, 300, b"Hello <i>you</i>"), (600, 300, b"Bye")),
    "ass": ((100, 300, rb"0,0,Default,,0,0,0,,{\pos(9,9)}Hello {\b1}you"), (100, 200, b"1,0,Default,,0,0,0,,too")),
    "webvtt": ((150, 100, b"Hello <i>you</i>"),),
    "mov_text": ((100, 300, b"\0\5Hello"), (600, 300, b"\0\3Bye")),
    "hdmv_pgs_subtitle": ((150, 0, b"\x16\x00\x0bshown......"), (450, 0, b"\x16\x00\x0bgone.......")),
    "dvd_subtitle": ((150, 100, b"\x00\x10\x00\x08a picture."),),
}
"""Packets of each kind of subtitles: start and duration in milliseconds, content."""

LANGUAGES = ("eng", "deu", "jpn", "fra", "spa", "por", "ita")


@dataclass(frozen=True)
class Sound:
    """A track of sound."""

    codec: str = "aac"
    language: str = "eng"
    disposition: int = 0
    """Of ``av.stream.Disposition``."""


@dataclass(frozen=True)
class Film:
    """What ``make_film`` makes."""

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "bf": "2", "g": "10"})
    time_base: Fraction = Fraction(1, 12800)
    step: int = 512
    rate: Fraction = Fraction(25)
    start: int = 0
    count: int = 25
    sounds: Sequence[Sound] = (Sound(disposition=Disposition.default), Sound(language="deu"))
    subtitles: Sequence[str] = ()
    fonts: int = 0
    cover: str = ""
    """Codec of a cover: png or mjpeg."""
    chapters: bool = True
    second_angle: bool = False
    timecode: str = ""
    tags: dict[str, str] = field(default_factory=lambda: {"title": "A film", "artist": "Somebody"})
    muxer_options: dict[str, str] = field(default_factory=dict)


def make_film(path: Path, film: Film) -> Path:
    """Write ``film`` to ``path``."""
    with av.open(str(path), "w", options=film.muxer_options) as container:
        container.metadata.update(film.tags)
        videos = [_add_video(container, film) for _ in range(1 + film.second_angle)]
        videos[0].metadata.update({"title": "The picture", "language": "fra"})
        if film.timecode:
            videos[0].metadata["timecode"] = film.timecode
        sounds = [_add_sound(container, number, sound) for number, sound in enumerate(film.sounds)]
        texts = [_add_text(container, number, codec) for number, codec in enumerate(film.subtitles)]
        cover = _add_cover(container, film.cover) if film.cover else []
        for number in range(film.fonts):
            container.add_attachment(f"font {number}.ttf", "application/x-truetype-font", font(number))
        if film.chapters:
            container.set_chapters([_chapter(1, 0, 400, "Beginning"), _chapter(2, 400, 1000, "End")])
        for packet in cover:
            container.mux(packet)
        for number, video in enumerate(videos):
            _encode_pictures(container, video, film, number)
        for stream in sounds:
            _encode_tone(container, stream, float(film.start * film.time_base))
        for packets in texts:
            container.mux(packets)
    return path


def font(number: int) -> bytes:
    """What is attached."""
    return bytes(range(256)) * (20 + number)


def _chapter(number: int, start: int, end: int, title: str) -> dict:
    return {"id": number, "start": start, "end": end, "time_base": MILLISECOND, "metadata": {"title": title}}


def _add_video(container, film: Film):
    stream = container.add_stream(film.codec, rate=film.rate, options=film.options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p10le" if film.codec == "prores_ks" else "yuv420p"
    stream.codec_context.time_base = stream.time_base = film.time_base
    stream.codec_context.thread_count = 1
    return stream


def _add_sound(container, number: int, sound: Sound):
    stream = container.add_stream(sound.codec, rate=AUDIO_RATE, layout="mono")
    stream.metadata.update({"language": sound.language, "title": f"Sound {number}"})
    stream.disposition = sound.disposition
    return stream


def _add_text(container, number: int, codec: str) -> list[Packet]:
    stream = container.add_mux_stream(codec)
    stream.time_base = MILLISECOND
    stream.metadata["language"] = LANGUAGES[number]
    if number == 1:
        stream.disposition = Disposition.forced
    packets = []
    for start, duration, content in TEXTS[codec]:
        packet = Packet(content)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = duration, MILLISECOND, stream
        packets.append(packet)
    return packets


def _add_cover(container, codec: str) -> list[Packet]:
    """A packet with a still picture; an attachment where the container has no streams for it."""
    still = VideoFrame.from_ndarray(drawing(0, 16, 16), format="rgb24")
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.time_base = 16, 16, Fraction(1)
    context.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
    still = still.reformat(format=context.pix_fmt, dst_color_range=2)
    still.pts, still.time_base = 0, Fraction(1)
    (packet,) = [*context.encode(still), *context.encode(None)]
    if container.format.name == "matroska":
        ending = {"png": "png", "mjpeg": "jpeg"}[codec]
        container.add_attachment(f"cover.{ending}", f"image/{ending}", bytes(packet))
        return []
    stream = container.add_stream(codec, rate=1)
    stream.width, stream.height, stream.pix_fmt = 16, 16, context.pix_fmt
    stream.codec_context.color_range = 2
    stream.disposition = Disposition.attached_pic
    packet.stream = stream
    return [packet]


def _encode_pictures(container, stream, film: Film, number: int) -> None:
    for index in range(film.count):
        frame = VideoFrame.from_ndarray(drawing(index + 20 * number, 64, 48), format="rgb24")
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = film.start + index * film.step, film.time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_tone(container, stream, start: float) -> None:
    context = stream.codec_context
    size = context.frame_size or 1024
    resampler = AudioResampler(format=context.format.name, layout="mono", rate=AUDIO_RATE)
    for place in range(0, AUDIO_RATE, size):
        wave = np.sin((place + np.arange(size)) * (stream.index + 1) / 60).astype(np.float32) / 4
        frame = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = AUDIO_RATE, Fraction(1, AUDIO_RATE)
        for ready in resampler.resample(frame):
            ready.pts, ready.time_base = round(start * AUDIO_RATE) + place, Fraction(1, AUDIO_RATE)
            container.mux(stream.encode(ready))
    container.mux(stream.encode(None))


@dataclass(frozen=True)
class Held:
    """One stream of a file, as it is demuxed."""

    kind: str
    codec: str
    language: str | None
    title: str | None
    disposition: str
    packets: tuple[tuple[Fraction | None, str], ...]
    """When each is shown, in seconds, and the digest of its content."""


def held(path: Path) -> list[Held]:
    """The streams of a file, without the tracks of chapters and timecode that muxers make."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type != "data"]
        packets: dict[int, list[tuple[Fraction | None, str]]] = {stream.index: [] for stream in streams}
        for packet in container.demux([stream for stream in streams if stream.type != "attachment"]):
            content = bytes(packet)
            if packet.size and not (packet.stream.codec_context.name == "mov_text" and content[:2] == b"\0\0"):
                pts = None if packet.pts is None else packet.pts * packet.time_base
                packets[packet.stream.index].append((pts, digest(content)))
        return [_held(stream, packets[stream.index]) for stream in streams]


def _held(stream, packets) -> Held:
    if stream.type == "attachment":
        return Held("attachment", stream.name, None, None, "", ((None, digest(stream.data)),))
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return Held(
        stream.type,
        stream.codec_context.codec.canonical_name,
        None if tags.get("language") == "und" else tags.get("language"),
        tags.get("title") or tags.get("name"),
        str(stream.disposition),
        tuple(packets),
    )


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Start, end and title of each chapter."""
    with av.open(str(path)) as container:
        return [
            (item["start"] * item["time_base"], item["end"] * item["time_base"], item["metadata"]["title"])
            for item in container.chapters()
        ]


def tags(path: Path) -> dict[str, str]:
    """Metadata of a whole file, keys in small letters, without what muxers write by themselves."""
    with av.open(str(path)) as container:
        own = {"encoder", "major_brand", "minor_version", "compatible_brands"}
        return {key.lower(): value for key, value in container.metadata.items() if key.lower() not in own}


def timecodes(path: Path) -> list[tuple[str, str]]:
    """Kind of stream and timecode, wherever there is one."""
    with av.open(str(path)) as container:
        found = [(stream.type, {k.lower(): v for k, v in stream.metadata.items()}) for stream in container.streams]
        return [(kind, tags["timecode"]) for kind, tags in found if "timecode" in tags]
