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
from vidrestore.video.codecs import choose_codec, choose_pixel_format, encoder_options, hdr_options, interlaced_options
from vidrestore.video.containers import stream_metadata
from vidrestore.video.layout import FULL, LIMITED, convert, effective_range, find_layout
from vidrestore.video.picture import StoredPicture
from vidrestore.video.probe import fraction, time_base_of

_PROGRESSIVE, _TOP_FIRST, _BOTTOM_FIRST = 1, 2, 3
"""Field orders as FFmpeg numbers them; 0 is unknown."""
_BOTTOM_FIELD_FIRST = frozenset({3, 5})
_UNSPECIFIED = 2
"""H.273's code for a missing colour tag."""
_X265_DELAY = 2
"""x265 learns from the frame after so many how early decoding begins; of fewer frames it reports arbitrary times."""


class VideoEncoder:
    """Encodes pictures like ``first`` as a stream of ``output``; ``warnings`` says what could not be kept.

    ``codec`` is the encoder; where it was chosen for the source, and is not of its family, ``choice`` says why.
    ``aspect`` is the shape of the pixels, where it is told.

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
        time_base: Fraction,
    ) -> None:
        """Add the stream to ``output``; the encoder itself opens with the first picture.

        ``time_base`` is that of ``source``, or a finer one where its fields have become frames of their own.

        Raises:
            VideoError: ``codec`` cannot encode pictures of this size.

        """
        self.warnings: list[str] = []
        self._count = 0
        self._durations: dict[int, int] = {}
        self._shape = _shape(first)
        self.aspect = aspect
        self.codec, self.choice = codec, ""
        if codec == "auto":
            origin = source.codec_context.codec.canonical_name
            self.codec, self.choice = choose_codec(origin, *_format(first), muxer=output.format.name)
        self._name = choose_pixel_format(self.codec, *_format(first))
        self._range = _encoded_range(self.codec, self._name, first)
        self._time_base = time_base
        is_deinterlaced = time_base != time_base_of(source)
        options = encoder_options(self.codec, crf, preset, self._name)
        _merge(options, self._hdr_options(first))
        order = _PROGRESSIVE if is_deinterlaced else _field_order(source, first)
        interlaced = self._interlaced_options(order)
        _merge(options, interlaced or {})
        rate = fraction(source.guessed_rate) or fraction(source.average_rate) or Fraction(25)
        stream = output.add_stream(self.codec, rate=rate * (1 + is_deinterlaced), options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        stream.time_base = self._time_base
        stream.metadata.update(stream_metadata(source, output.format.name))
        stream.disposition = source.disposition
        if first.display_matrix is not None:
            stream.set_display_matrix(first.display_matrix)
        context = stream.codec_context
        self._configure(context, first)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if interlaced is not None:
            context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
            context.field_order = order
        if self.codec in ("libx265", "hevc_nvenc") and output.format.name in {"mp4", "mov"}:
            context.codec_tag = "hvc1"  # Apple's players take no other

    def encode(self, picture: StoredPicture, pts: int) -> list[Packet[VideoStream]]:
        """Packets that are ready after ``picture``; VideoError where its size or format is not that of the first."""
        if _shape(picture) != self._shape:
            raise VideoError(f"the picture changed from {self._shape} to {_shape(picture)} while it was written")
        frame = self._encodable(picture)
        frame.pts, frame.time_base = pts, self._time_base
        frame.pict_type = PictureType.NONE
        self._count += 1
        self._durations[pts] = frame.duration or 0
        return self._lasting(self._stream.encode(frame))

    @property
    def stream(self) -> VideoStream:
        """What is encoded, in its container."""
        return self._stream

    def flush(self) -> list[Packet[VideoStream]]:
        """The packets that the encoder still holds."""
        packets = self._stream.encode(None)
        if self.codec == "libx265" and self._count <= _X265_DELAY:
            for packet in packets:
                packet.dts = packet.pts
        return self._lasting(packets)

    def _lasting(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        """``packets`` that last as long as their frames; some encoders make all as long as one of the mean rate."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, 0) or packet.duration
        return packets

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
            self.warnings.append(f"{self.codec} cannot store RGB; the picture is converted to {self._name}")
        elif _plain(self._name) != _plain(first.layout.name):
            self.warnings.append(
                f"{self.codec} cannot store {first.layout.name} at {first.stored.width}x{first.stored.height}; "
                f"the picture is converted to {self._name}"
            )

    @property
    def _is_rgb(self) -> bool:
        layout = find_layout(self._name)
        return layout is not None and layout.is_rgb

    def _hdr_options(self, first: StoredPicture) -> dict[str, str]:
        """Options that carry HDR10's data over."""
        blobs = [first.side_data(name) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")]
        options = hdr_options(self.codec, *blobs)
        if any(blobs) and not options:
            self.warnings.append(
                f"{self.codec} does not carry the mastering display and light levels of HDR10; "
                "libx264, libx265 and libsvtav1 do"
            )
        return options

    def _interlaced_options(self, field_order: int) -> dict[str, str] | None:
        """Options for interlaced pictures; None where they are progressive, or the codec cannot say otherwise."""
        if field_order == _PROGRESSIVE:
            return None
        options = interlaced_options(self.codec, field_order == _TOP_FIRST)
        if options is None:
            self.warnings.append(f"{self.codec} does not mark the picture as interlaced; its fields are kept")
        return options

    def _encodable(self, picture: StoredPicture) -> VideoFrame:
        """The picture in the encoder's format, unchanged where that is its own."""
        if self._name == picture.layout.name:
            return picture.stored
        return convert(picture.stored, self._name, picture.matrix, picture.color_range, self._range)


def _field_order(source: VideoStream, first: StoredPicture) -> int:
    """The field order of pictures like ``first``: what was found by a look at them, else what the stream states.

    They are interlaced if the first is flagged so, or if the stream is and a look found it right: film with pulldown
    may begin with a whole frame.
    """
    stated = int(source.codec_context.field_order)
    if not first.stored.interlaced_frame and (first.first_field is None or stated <= _PROGRESSIVE):
        return _PROGRESSIVE
    bottom = stated in _BOTTOM_FIELD_FIRST if first.first_field is None else first.first_field == 1
    return _BOTTOM_FIRST if bottom else _TOP_FIRST


def _shape(picture: StoredPicture) -> tuple[int, int, str]:
    return picture.stored.width, picture.stored.height, picture.layout.name


def _format(picture: StoredPicture) -> tuple[str, int, int]:
    return picture.layout.name, picture.stored.width, picture.stored.height


def _plain(name: str) -> str:
    """The pixel format without the letter that stands for full range."""
    return name.replace("yuvj", "yuv")


def _encoded_range(codec: str, name: str, first: StoredPicture) -> int:
    """The range to encode in: that of the picture; limited where RGB becomes YUV and in ProRes, which has no other."""
    layout = find_layout(name)
    if (layout is not None and layout.is_rgb) or name.startswith("yuvj"):
        return FULL
    return LIMITED if first.layout.is_rgb or codec == "prores_ks" else first.color_range


def _merge(options: dict[str, str], extra: dict[str, str]) -> None:
    """Add options; those that are lists of parameters grow."""
    for key, value in extra.items():
        options[key] = f"{options[key]}:{value}" if key in options else value
