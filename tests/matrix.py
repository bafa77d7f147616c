"""What a restoration keeps of a file, found by demuxing both: ``python tests/matrix.py`` prints docs/matrix.md.

Every file of ``nasty`` goes through a whole run of ``restore_video``, with a detector that sees a face in the middle of
every picture, so that each frame is changed there and has to stay as it is everywhere else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import chain
from math import floor
from pathlib import Path

import av
import cv2
import faces
import films
import numpy as np
from av.stream import Disposition
from nasty import FILES, FRAMES, ROUNDED, Nasty, Refused, clips
from numpy.typing import NDArray
from runs import SETTINGS, Seer, Sharpener

from vidrestore import Settings
from vidrestore.alignment import crop_face
from vidrestore.api import restore_video
from vidrestore.blending import face_mask
from vidrestore.config import FacesSettings, RestorationSettings
from vidrestore.errors import VideoError
from vidrestore.gating import GateSettings
from vidrestore.geometry import invert
from vidrestore.types import Analysis, Detection, Floats, Frame, Image
from vidrestore.video.picture import wrap

Samples = list[NDArray]
"""A frame: an array for each component, as stored."""
_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails
_BORDER = 9
"""Pixels, across, by which a mask is widened: shared chroma, lines of fields, and what smoothing adds to it."""


# parts of the run


class Beholder(Seer):
    """A detector that sees a face in the middle of every picture."""

    def detect(self, image: Image) -> list[Detection]:
        landmarks = middle_face(*image.shape[:2])
        box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
        eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
        return [Detection(box, 0.9, np.stack([*eyes, *landmarks[[30, 48, 54]]]), landmarks, self.embed(image, box))]

    def look(self, image: Image, boxes: Sequence[Floats]) -> list[Detection | None]:
        return [self.detect(image)[0] for _ in boxes]


class Scratcher(Sharpener):
    """A restorer that puts a fine pattern on every face, so that each frame is changed, whatever it shows."""

    def restore(self, crops, _) -> list[Image]:
        rows, columns = np.indices((self.crop_size, self.crop_size))
        pattern = (40 * (-1) ** (rows // 4 + columns // 4))[..., None]
        return [np.clip(crop.image + pattern, 0, 255).astype(np.uint8) for crop in crops]


def middle_face(height: int, width: int) -> Floats:
    """Landmarks (68, 2) of the face that is seen in a picture."""
    return faces.placed(width / 2, 0.4 * height, min(width, height) / 5)


class Recorder:
    """A witness that keeps the samples of every frame before it is encoded."""

    def __init__(self) -> None:
        self.frames: list[Samples] = []

    def begin(self, analysis: Analysis, settings: Settings, restorer: object) -> None:
        pass

    def decoded(self, frame: Frame) -> None:
        pass

    def judged(self, pts: int, face: object, verdict: object) -> None:
        pass

    def restored(self, frame: Frame) -> None:
        self.frames.append(faces.planes(frame))


# what a file holds


@dataclass(frozen=True)
class Facts:
    """What is compared of a file besides its pixels; a field for each thing that may differ."""

    streams: tuple
    """Kind, codec, language, title and marks of each stream; no codec of the one that is restored."""
    packets: tuple
    """Times in seconds of the packets of the other streams."""
    contents: tuple
    """Digests of these packets and of attachments."""
    subtitles: tuple
    """For how long each subtitle is shown."""
    chapters: tuple
    tags: dict[str, str]
    timecode: tuple
    frames: tuple
    """Times in seconds of the frames of the restored stream, decoded."""
    picture: tuple
    """Size, pixel format, matrix, primaries, transfer and range."""
    shape: tuple
    """Shape of the pixels, and display matrix."""
    light: tuple
    """Mastering display and light levels, as FFmpeg gives them."""
    fields: tuple
    """Field order of the stream, and whether each frame is flagged as interlaced."""


def facts(path: Path) -> Facts:
    held, seen = films.held(path), list(decoded(path))
    main = next(index for index, one in enumerate(held) if one.kind == "video" and "attached" not in one.disposition)
    others = [one for index, one in enumerate(held) if index != main]
    first, context = seen[0], _parameters(path)
    comment = films.tags(path).get("comment", "").partition("faces restored by vidrestore")[0].removesuffix("; ")
    return Facts(
        streams=tuple(
            (one.kind, "" if index == main else one.codec, one.language, one.title, one.disposition)
            for index, one in enumerate(held)
        ),
        packets=tuple(tuple(pts for pts, _ in one.packets) for one in others),
        contents=tuple(tuple(content for _, content in one.packets) for one in others),
        subtitles=tuple(_durations(path)),
        chapters=tuple(films.chapters(path)),
        tags={key: value for key, value in {**films.tags(path), "comment": comment}.items() if value},
        timecode=tuple({value for _, value in films.timecodes(path)}),
        frames=tuple(None if frame.pts is None else frame.pts * frame.time_base for frame in seen),
        picture=(first.width, first.height, first.format.name.replace("yuvj", "yuv"), *context[:4]),
        shape=(context[4], wrap(first).display_matrix),
        light=tuple(
            bytes(first.side_data.get(name) or b"") for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
        ),
        fields=(context[5], tuple(frame.interlaced_frame for frame in seen)),
    )


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    """Frames of the first video, past whatever cannot be decoded, by PyAV alone."""
    with av.open(str(path)) as container:
        stream = _main(container)
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, IndexError):
                return
            if packet is None:
                return
            with suppress(av.FFmpegError):
                yield from packet.decode()


def _main(container):
    return next(stream for stream in container.streams.video if not stream.disposition & _STILLS)


def _parameters(path: Path) -> tuple:
    """Matrix, primaries, transfer, full range, shape of the pixels and field order, as the stream is said to be."""
    with av.open(str(path)) as container:
        stream = _main(container)
        context = stream.codec_context
        first = next(decoded(path))
        shape = stream.sample_aspect_ratio or Fraction(1)
        order = max(int(context.field_order), 1)
        return (
            int(first.colorspace),
            int(first.color_primaries),
            int(first.color_trc),
            int(first.color_range) == 2 or first.format.name.startswith("yuvj"),
            Fraction(shape.numerator, shape.denominator),
            order,
        )


# what differs


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    differs: Mapping[str, str]
    """What is not as in the source: fields of ``Facts`` and more, and what was found."""
    said: tuple[str, ...]
    """Warnings, and what was done about interlacing."""
    codec: str
    """Of the restored stream."""
    changed: bool
    """Whether restoring changed every frame."""


def restore(item: Nasty, source: Path, output: Path) -> Outcome:
    """Restore ``source`` and compare."""
    settings = replace(
        SETTINGS,
        faces=FacesSettings(pack="matrix:Beholder"),
        gate=GateSettings(enabled=False),
        restoration=RestorationSettings(weights="matrix:Scratcher", device="cpu", deinterlace=item.deinterlace),
        encoding=replace(SETTINGS.encoding, codec=item.codec, crf=0),
    )
    recorder = Recorder()
    result = restore_video(source, output, settings=settings, work=output.parent / "work", witness=recorder)
    codec = _codec(output)
    before, after = list(map(_samples, decoded(source))), list(map(_samples, decoded(output)))
    masks = [_masks(frame) for frame in decoded(source)]
    differs = dict(_differences(facts(source), facts(output)))
    if not _same(before, recorder.frames, masks):
        differs["pixels"] = "before encoding"
    elif _is_lossless(codec, after) and not _same(recorder.frames, after):
        differs["pixels"] = "by encoding"
    changed = not any(_same([one], [two]) for one, two in zip(before, recorder.frames, strict=False))
    said = (*result.warnings, *([result.scan] if result.scan.startswith("interlaced") else []))
    return Outcome(differs, said, codec, changed)


def _differences(before: Facts, after: Facts) -> Iterator[tuple[str, str]]:
    """Names of what differs, and what was and is found there."""
    for name in (field.name for field in fields(Facts)):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            is_near = name in ("packets", "frames") and _in_milliseconds(was) == _in_milliseconds(now)
            yield ROUNDED if is_near else name, f"{was} became {now}"


def _in_milliseconds(times):
    """Nested times to the nearest millisecond; halves go away from zero, as FFmpeg rounds."""
    if isinstance(times, tuple):
        return tuple(_in_milliseconds(time) for time in times)
    return None if times is None else floor(abs(times) * 1000 + Fraction(1, 2)) * (-1 if times < 0 else 1)


def _is_lossless(codec: str, frames: Sequence[Sequence[NDArray]]) -> bool:
    """Whether encoding with crf 0 loses nothing."""
    return codec == "ffv1" or (codec == "h264" and frames[0][0].dtype == np.uint8)


def _same(frames: Sequence[Samples], others: Sequence[Samples], masks: Sequence[Samples] | None = None) -> bool:
    """Whether frames have the same samples, but for those in ``masks``."""
    if [[plane.shape for plane in frame] for frame in frames] != [[plane.shape for plane in frame] for frame in others]:
        return False
    masks = masks or [[np.zeros(plane.shape, bool) for plane in frame] for frame in frames]
    planes = zip(chain(*frames), chain(*others), chain(*masks), strict=True)
    return all(np.array_equal(one[~mask], two[~mask]) for one, two, mask in planes)


def _samples(frame: av.VideoFrame) -> Samples:
    picture = wrap(frame)
    return [picture.codes(component) for component in picture.layout.components]


def _masks(frame: av.VideoFrame) -> Samples:
    """Where the face may change each component of a frame."""
    picture = wrap(frame)
    size = Scratcher.crop_size
    crop = crop_face(picture.rgb(), faces.face(middle_face(picture.height, picture.width)), size)
    mask = face_mask(crop.landmarks, size)
    placed = cv2.warpAffine(mask, invert(crop.matrix), (picture.width, picture.height)) > 0
    wide = cv2.dilate(placed.astype(np.uint8), np.ones((_BORDER, _BORDER), np.uint8)) > 0
    stored = np.rot90(wide, -picture.rotation // 90)
    return [stored[:: part.block_height, :: part.block_width] for part in picture.layout.components]


def _codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return _main(container).codec_context.codec.canonical_name


def _durations(path: Path) -> Iterator[Fraction]:
    """Seconds of each packet of subtitles that shows something."""
    with av.open(str(path)) as container:
        for packet in container.demux(*container.streams.subtitles) if container.streams.subtitles else ():
            if packet.size and not bytes(packet).startswith(b"\0\0"):  # mov_text of no letters
                yield (packet.duration or 0) * packet.time_base


def refusal(source: Path, output: Path) -> str:
    """Why a file is not restored; nothing is written beside it."""
    before = set(output.parent.iterdir())
    try:
        restore_video(source, output, settings=SETTINGS, work=output.parent / "work")
    except VideoError as error:
        return str(error) if set(output.parent.iterdir()) == before else "something is left behind"
    return "it is restored"


# the table


def row(item: Nasty | Refused, folder: Path) -> tuple[str, Outcome | str]:
    """Try ``item`` in ``folder``: its row in Markdown, and what came of it."""
    source = folder / item.name
    item.make(source)
    if isinstance(item, Refused):
        found = refusal(source, folder / "out.mp4")
        return _line(item.what, item.name, "", f"refused: {item.because}", ""), found
    output = folder / f"out{item.output or source.suffix}"
    outcome = restore(item, source, output)
    differs = "; ".join(dict.fromkeys(item.differs.get(name, name) for name in outcome.differs)) or "nothing"
    return _line(item.what, item.name, f"{outcome.codec} in {output.suffix}", differs, "; ".join(item.says)), outcome


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


HEAD = "\n".join([_line("property", "file", "output", "what differs", "what is said"), _line(*["---"] * 5)])


def print_tables() -> None:
    for name, items in {**FILES, f"Clips, the first {FRAMES} frames": clips()}.items():
        sys.stdout.write(f"\n## {name}\n\n{HEAD}\n")
        for item in items:
            with tempfile.TemporaryDirectory() as folder:
                sys.stdout.write(row(item, Path(folder))[0] + "\n")


if __name__ == "__main__":
    import matrix  # under its own name, by which a run finds the detector and the restorer

    matrix.print_tables()
