"""The stream that is encoded: opened to match its first picture, fed one picture at a time."""

from __future__ import annotations

from fractions import Fraction

from av import Packet, VideoFrame
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from vidrestore.errors import VideoError
from vidrestore.video.codecs import choose_pixel_format, encoder_options, hdr_options, interlaced_options
from vidrestore.video.layout import FULL, LIMITED, convert, effective_range, find_layout
from vidrestore.video.picture import StoredPicture
from vidrestore.video.probe import fraction, time_base_of
from vidrestore.video.remux import stream_metadata

_BOTTOM_FIELD_FIRST = frozenset({3, 5})
_UNSPECIFIED = 2
"""H.273's code for a missing colour tag."""


class VideoEncoder:
    """Encodes pictures like ``first`` as a stream of ``output``; ``warnings`` says what could not be kept.

    Pixel format, colour tags, display matrix and interlacing are those of the first picture; time base, field order,
    metadata and disposition those of the stream that it comes from.
    """

    def __init__(
        self,
        output: OutputContainer,
        source: VideoStream,
        first: StoredPicture,
        *,
        codec: str,
        crf: int,
        preset: str,
        aspect: Fraction | None,
    ) -> None:
        """Add the stream to ``output``; the encoder itself opens with the first picture.

        Raises:
            VideoError: ``codec`` cannot encode pictures of this size.

        """
        self.warnings: list[str] = []
        self._shape = _shape(first)
        self._codec = codec
        self._name = choose_pixel_format(codec, first.layout.name, first.stored.width, first.stored.height)
        self._range = _encoded_range(codec, self._name, first)
        self._time_base = time_base_of(source)
        options = encoder_options(codec, crf, preset, self._name)
        _merge(options, _hdr_options(codec, first))
        interlaced = self._interlaced_options(first, int(source.codec_context.field_order))
        _merge(options, interlaced or {})
        rate = fraction(source.guessed_rate) or fraction(source.average_rate) or Fraction(25)
        stream = output.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        stream.time_base = self._time_base
        stream.metadata.update(stream_metadata(source, encoded=True))
        stream.disposition = source.disposition
        if first.display_matrix is not None:
            stream.set_display_matrix(first.display_matrix)
        context = stream.codec_context
        self._configure(context, first)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if interlaced is not None:
            context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        if codec == "libx265" and output.format.name in {"mp4", "mov"}:
            context.codec_tag = "hvc1"  # Apple's players take no other

    def encode(self, picture: StoredPicture, pts: int) -> list[Packet[VideoStream]]:
        """Packets that are ready after ``picture``; VideoError where its size or format is not that of the first."""
        if _shape(picture) != self._shape:
            raise VideoError(f"the picture changed from {self._shape} to {_shape(picture)} while it was written")
        frame = self._encodable(picture)
        frame.pts, frame.time_base = pts, self._time_base
        frame.pict_type = PictureType.NONE
        return self._stream.encode(frame)

    def flush(self) -> list[Packet[VideoStream]]:
        """The packets that the encoder still holds."""
        return self._stream.encode(None)

    def _configure(self, context: VideoCodecContext, first: StoredPicture) -> None:
        """Size, format, time base, threads and colour tags."""
        context.width, context.height, context.pix_fmt = first.stored.width, first.stored.height, self._name
        context.time_base = self._time_base
        context.thread_count = 0
        context.flags |= int(Flags.frame_duration)
        color, same_family = first.color, self._is_rgb == first.layout.is_rgb
        context.color_primaries = color.primaries
        context.color_trc = color.transfer
        context.colorspace = color.matrix if same_family else first.matrix
        tagged = color.full_range is not None or self._range != effective_range(self._name, None)
        context.color_range = self._range if tagged or not same_family else 0
        if not same_family:
            self.warnings.append(f"{self._codec} cannot store RGB; the picture is converted to {self._name}")
        elif _plain(self._name) != _plain(first.layout.name):
            self.warnings.append(
                f"{self._codec} cannot store {first.layout.name} at {first.stored.width}x{first.stored.height}; "
                f"the picture is converted to {self._name}"
            )

    @property
    def _is_rgb(self) -> bool:
        layout = find_layout(self._name)
        return layout is not None and layout.is_rgb

    def _interlaced_options(self, first: StoredPicture, field_order: int) -> dict[str, str] | None:
        """Options for interlaced pictures; None where they are progressive, or the codec cannot say otherwise."""
        if not first.stored.interlaced_frame:
            return None
        options = interlaced_options(self._codec, field_order not in _BOTTOM_FIELD_FIRST)
        if options is None:
            self.warnings.append(f"{self._codec} does not mark the picture as interlaced; its fields are kept")
        return options

    def _encodable(self, picture: StoredPicture) -> VideoFrame:
        """The picture in the encoder's format, unchanged where that is its own."""
        if self._name == picture.layout.name:
            return picture.stored
        return convert(picture.stored, self._name, picture.matrix, picture.color_range, self._range)


def _shape(picture: StoredPicture) -> tuple[int, int, str]:
    return picture.stored.width, picture.stored.height, picture.layout.name


def _plain(name: str) -> str:
    """The pixel format without the letter that stands for full range."""
    return name.replace("yuvj", "yuv")


def _encoded_range(codec: str, name: str, first: StoredPicture) -> int:
    """The range to encode in: that of the picture; limited where RGB becomes YUV and in ProRes, which has no other."""
    layout = find_layout(name)
    if (layout is not None and layout.is_rgb) or name.startswith("yuvj"):
        return FULL
    return LIMITED if first.layout.is_rgb or codec == "prores_ks" else first.color_range


def _hdr_options(codec: str, first: StoredPicture) -> dict[str, str]:
    blobs = (first.side_data(name) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"))
    return hdr_options(codec, *blobs)


def _merge(options: dict[str, str], extra: dict[str, str]) -> None:
    """Add options; those that are lists of parameters grow."""
    for key, value in extra.items():
        options[key] = f"{options[key]}:{value}" if key in options else value
