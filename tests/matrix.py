"""What a restoration keeps of a file, found by demuxing both: ``python tests/matrix.py`` prints docs/matrix.md's tables.

Every file of ``nasty`` goes through a whole run of ``restore_video``, with a detector that sees a face in the middle of
every picture, so that each frame is changed there and has to stay as it is everywhere else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import floor
from pathlib import Path

import av
import cv2
import faces
import films
import numpy as np
from av.stream import Disposition
from nasty import FILES, Nasty, Refused, clip, clips
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
from vidrestore.video.picture import StoredPicture, wrap

ROUNDED = "milliseconds"
"""The difference where times are those of the source, to the nearest millisecond."""
PIXELS = "pixels"
LOSSLESS = {".mkv": "ffv1", ".mp4": "h264"}
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
        self.frames: list[list[NDArray]] = []

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
    """Mastering display and light levels, as numbers."""
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
        chapters=tuple(films.chapters(path)),
        tags={key: value for key, value in {**films.tags(path), "comment": comment}.items() if value},
        timecode=tuple({value for _, value in films.timecodes(path)}),
        frames=tuple(None if frame.pts is None else frame.pts * frame.time_base for frame in seen),
        picture=(first.width, first.height, first.format.name.replace("yuvj", "yuv"), *context[:4]),
        shape=(context[4], StoredPicture(first).display_matrix),
        light=tuple(bytes(first.side_data.get(name) or b"") for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")),
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

    differs: tuple[str, ...]
    """Names of what is not as in the source."""
    warnings: tuple[str, ...]
    codec: str
    """Of the restored stream."""
    changed: int
    """Samples that restoring changed: at least one in each frame that shows a face."""


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
    before, after = facts(source), facts(output)
    found = [name for name in (field.name for field in fields(Facts)) if getattr(before, name) != getattr(after, name)]
    late = [name for name in found if name in ("packets", "frames") and _rounded(before, name) == _rounded(after, name)]
    found = [ROUNDED] * bool(late) + [name for name in found if name not in late]
    changed, kept = _pixels(source, output, recorder)
    return Outcome(tuple(found) + (PIXELS,) * (not kept), tuple(result.warnings), _codec(output), changed)


def _rounded(held: Facts, name: str) -> tuple:
    """Times to the nearest millisecond; halves go away from zero, as FFmpeg rounds."""

    def nearest(value):
        if isinstance(value, tuple):
            return tuple(nearest(one) for one in value)
        return None if value is None else floor(abs(value) * 1000 + Fraction(1, 2)) * (-1 if value < 0 else 1)

    return nearest(getattr(held, name))


def _pixels(source: Path, output: Path, recorder: Recorder) -> tuple[int, bool]:
    """How many samples were changed, and whether none of them outside the masks, before encoding or by it."""
    changed, before = 0, list(decoded(source))
    kept = len(before) == len(recorder.frames)
    for frame, now in zip(before, recorder.frames, strict=False):
        picture = wrap(frame)
        masks = _masks(picture)
        old = [picture.codes(component) for component in picture.layout.components]
        if [plane.shape for plane in old] != [plane.shape for plane in now]:
            return changed, False
        changed += sum(int((one != two).sum()) for one, two in zip(old, now, strict=True))
        kept &= all(np.array_equal(a[~m], b[~m]) for a, b, m in zip(old, now, masks, strict=True))
    if _codec(output) in LOSSLESS.values() and picture.layout.bits == 8:
        written = [wrap(frame) for frame in decoded(output)]
        for picture, now in zip(written, recorder.frames, strict=True):
            codes = [picture.codes(component) for component in picture.layout.components]
            kept &= len(codes) == len(now) and all(np.array_equal(a, b) for a, b in zip(codes, now, strict=True))
    return changed, kept


def _masks(picture: StoredPicture) -> list[NDArray[np.bool_]]:
    """Where the face may change each component of a picture."""
    crop = crop_face(picture.rgb(), faces.face(middle_face(picture.height, picture.width)), 512)
    mask = face_mask(crop.landmarks, 512)
    placed = cv2.warpAffine(mask, invert(crop.matrix), (picture.width, picture.height)) > 0
    wide = cv2.dilate(placed.astype(np.uint8), np.ones((_BORDER, _BORDER), np.uint8)) > 0
    stored = np.rot90(wide, -picture.rotation // 90)
    return [stored[:: part.block_height, :: part.block_width] for part in picture.layout.components]


def _codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return _main(container).codec_context.codec.canonical_name


def refused(source: Path, output: Path) -> str:
    """Why a file is not restored."""
    try:
        restore_video(source, output, settings=SETTINGS, work=output.parent / "work")
    except VideoError as error:
        return str(error)
    return ""
