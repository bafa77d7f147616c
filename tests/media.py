"""Small clips made with PyAV for the tests: a moving square over a gradient, and every kind of container trouble."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av import AudioFrame, VideoFrame
from av.codec.context import Flags
from numpy.typing import NDArray
from skimage import data

from vidrestore.video.filtering import FrameFilter
from vidrestore.video.picture import StoredPicture

AUDIO_RATE = 48000
FACE_FROM = (130, 60)
"""Where in ``skimage.data.astronaut()`` the corner of the first picture of ``moving_face`` lies."""
ROTATION_MATRICES = {
    90: (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
    180: (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    270: (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
}
"""Display matrices by degrees counter-clockwise."""


@dataclass
class Clip:
    """What ``make_clip`` makes; the defaults are a plain second and a bit of H.264 with B-frames."""

    size: tuple[int, int] = (64, 48)
    count: int = 30
    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "bf": "2", "g": "10", "crf": "20"})
    time_base: Fraction = Fraction(1, 12800)
    step: int = 512
    """Ticks between frames."""
    start: int = 0
    gaps: bool = False
    """Variable rate: every fifth frame is shown twice as long."""
    rotation: int = 0
    aspect: Fraction | None = None
    full_range: bool | None = None
    audio_tracks: int = 0
    subtitle: bool = False
    cover: bool = False
    chapters: bool = False
    interlaced: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    muxer_options: dict[str, str] = field(default_factory=dict)

    @property
    def pts(self) -> list[int]:
        return [self.start + (index + index // 5 * self.gaps) * self.step for index in range(self.count)]


def drawing(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGB of frame ``index``: a gradient and a bright square that moves right."""
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([columns * 200 // width, rows * 200 // height, np.full((height, width), 90)], axis=2)
    left = index % max(width - 8, 1)
    image[4:12, left : left + 8] = (230, 60, 40)
    return image.astype(np.uint8)


def make_clip(path: Path, clip: Clip | None = None) -> Path:
    """Write ``clip`` to ``path``."""
    clip = Clip() if clip is None else clip
    with av.open(str(path), "w", options=clip.muxer_options) as container:
        container.metadata.update(clip.metadata)
        video = container.add_stream(clip.codec, rate=25, options=clip.options)
        video.width, video.height = clip.size
        video.pix_fmt = clip.pixel_format
        video.codec_context.time_base = video.time_base = clip.time_base
        video.codec_context.thread_count = 1
        if clip.interlaced:
            video.codec_context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        if clip.aspect:
            video.codec_context.sample_aspect_ratio = clip.aspect
        if clip.full_range is not None:
            video.codec_context.color_range = 2 if clip.full_range else 1
        if clip.rotation:
            video.set_display_matrix(ROTATION_MATRICES[clip.rotation])
        tracks = [container.add_stream("aac", rate=AUDIO_RATE, layout="mono") for _ in range(clip.audio_tracks)]
        for language, track in zip(("eng", "deu"), tracks, strict=False):
            track.metadata["language"] = language
        texts = _add_subtitles(container, path) if clip.subtitle else None
        cover = _add_cover(container) if clip.cover else None
        if clip.chapters:
            container.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
                    {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
                ]
            )
        for index, pts in enumerate(clip.pts):
            frame = VideoFrame.from_ndarray(drawing(index, *clip.size), format="rgb24")
            frame = frame.reformat(format=clip.pixel_format)
            frame.pts, frame.time_base = pts, clip.time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        seconds = float((clip.pts[-1] + clip.step) * clip.time_base) if clip.pts else 1.0
        for number, track in enumerate(tracks):
            add_tone(container, track, seconds, 220 * (number + 1))
        if texts is not None:
            container.mux(texts)
        if cover is not None:
            container.mux(cover)
    return path


def moving_face(count: int, step: tuple[float, float] = (1.5, 0.4)) -> list[NDArray[np.uint8]]:
    """RGB pictures of 192 x 144 of a photographed face that moves by ``step`` pixels from one to the next.

    ``faces.ASTRONAUT - FACE_FROM`` are its landmarks in the first.
    """
    photograph = data.astronaut()
    pictures = []
    for index in range(count):
        shift = np.float32([[1, 0, step[0] * index - FACE_FROM[0]], [0, 1, step[1] * index - FACE_FROM[1]]])
        picture = cv2.warpAffine(photograph, shift, (192, 144), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        pictures.append(picture.astype(np.uint8))
    return pictures


@dataclass
class Interlacing:
    """How ``make_interlaced`` stores pictures, of which each frame takes two."""

    top_first: bool = True
    flagged: bool = True
    codec: str = "ffv1"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)


def make_interlaced(path: Path, pictures: list[NDArray[np.uint8]], how: Interlacing | None = None) -> Path:
    """Write ``pictures``, 50 a second, as the fields of 25 frames a second."""
    how = Interlacing() if how is None else how
    flag = ("tff" if how.top_first else "bff") if how.flagged else "prog"
    with av.open(str(path), "w") as container:
        video = container.add_stream(how.codec, rate=25, options=how.options)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = how.pixel_format
        video.codec_context.thread_count = 1
        if how.flagged:
            video.codec_context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        stored = [VideoFrame.from_ndarray(each, format="rgb24").reformat(format=how.pixel_format) for each in pictures]
        flags = FrameFilter("setfield", f"mode={flag}", stored[0])
        for index in range(len(stored) // 2):
            frame, later = StoredPicture(stored[2 * index]), StoredPicture(stored[2 * index + 1])
            for component in frame.layout.components:
                rows = slice(1 if how.top_first else 0, None, 2)
                frame.codes(component)[rows] = later.codes(component)[rows]
            (flagged,) = flags.push(frame.stored)
            flagged.pts, flagged.time_base = index, Fraction(1, 25)
            container.mux(video.encode(flagged))
        container.mux(video.encode(None))
    return path


def make_audio(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        add_tone(container, container.add_stream("aac", rate=AUDIO_RATE, layout="mono"), 0.5, 440)
    return path


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Presentation time in seconds and content of every packet, for each stream of one kind."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: list[list[tuple[Fraction, bytes]]] = [[] for _ in streams]
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[streams.index(packet.stream)].append(((packet.pts or 0) * packet.time_base, bytes(packet)))
    return found


def add_tone(container, stream, seconds: float, pitch: int) -> None:
    for start in range(0, int(seconds * AUDIO_RATE), 1024):
        wave = np.sin((start + np.arange(1024)) * (2 * np.pi * pitch / AUDIO_RATE)).astype(np.float32) / 4
        frame = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _add_subtitles(container, path: Path):
    """Packets of two texts in the container's own subtitle codec, taken from an SRT file."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,100 --> 00:00:00,400\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nBye\n")
    with av.open(str(text)) as source:
        stream = container.add_stream_from_template(source.streams[0])
        found = [packet for packet in source.demux() if packet.size]
    for packet in found:
        packet.stream = stream
    return found


def _add_cover(container):
    """A packet with a still picture, as the cover of the file."""
    stream = container.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    frame = VideoFrame.from_ndarray(drawing(0, 16, 16), format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1)
    return stream.encode(frame) + stream.encode(None)
