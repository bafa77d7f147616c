"""Everything in a video file that is not the restored stream: copied packet by packet, never re-encoded."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av import Packet
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from vidrestore.types import Span, StreamInfo, StreamPlan
from vidrestore.video.containers import NAMES, QUICKTIME, printable, stream_metadata, take_timecode
from vidrestore.video.pace import Pace
from vidrestore.video.probe import demuxed, fraction, open_source, reason, time_base_of
from vidrestore.video.read import SEEKABLE_FORMATS
from vidrestore.video.subtitles import TextConverter, converted_kind, is_filler

_SEEK_MARGIN_SECONDS = 2
_EARLY_PACKETS = 2000
"""So far into the file the first packets are looked for; subtitles may come later."""
_COVERS = {"mjpeg": "jpg", "png": "png", "bmp": "bmp"}
"""Pictures that are covers in mp4, and attachments in Matroska."""
_CHAPTERS, _TIMECODE = "chapters", "timecode"
"""Tracks of data in mov and mp4 that FFmpeg has no codec for."""


def described(stream: Stream) -> StreamInfo:
    """What a stream is, with the name of its codec and not of a decoder."""
    return StreamInfo(stream.index, stream.type, _codec(stream) or printable(_kind_of_data(stream)), stream.language)


class StreamCopier:
    """Copies streams of ``source`` to ``output``, in step with the video that is written beside them."""

    def __init__(self, source: InputContainer, output: OutputContainer, span: Span, zero: Fraction) -> None:
        """Copy the packets of ``span``, moved so that ``zero`` seconds of the source become 0."""
        self.warnings: list[str] = []
        self.timecode = ""
        """The timecode of the first frame, where the source has a track of it: the muxer makes one from metadata."""
        self._source = source
        self._output = output
        self._muxer = output.format.name
        self._span = span
        self._zero = zero
        self._targets: dict[int, Stream] = {}
        self._paces: dict[int, Pace] = {}
        self._converters: dict[int, TextConverter] = {}
        self._unfit: Counter[int] = Counter()
        """Packets that the muxer refused, by stream of the source."""
        self.written: set[int] = set()
        """Indices of the source's streams of which something was written."""
        self._started: set[int] = set()
        self._packets: Iterator[Packet[Stream]] = iter(())
        self._waiting: Packet[Stream] | None = None

    def add(self, stream: Stream) -> StreamPlan:
        """Add a stream of the source to the output, as its container takes it, and say how or why not."""
        what, codec = described(stream), _codec(stream)
        if what.codec in (_CHAPTERS, _TIMECODE):
            return self._leave_to_muxer(stream, what)
        if stream.disposition & Disposition.attached_pic:
            return self._add_cover(stream, what)
        refused = refusal(stream, self._muxer)
        kind = converted_kind(codec, self._muxer)
        if refused and kind is not None:
            self._converters[stream.index] = converter = TextConverter(stream, self._output, kind)
            self._adopt(stream, converter.target)
            return StreamPlan(what, "converted", f"into {kind}, which keeps words, times and emphasis")
        if refused:
            return StreamPlan(what, "left out", refused)
        self._adopt(stream, self._output.add_stream_from_template(stream, opaque=True))
        if stream.type == "attachment":
            self.written.add(stream.index)  # with the header
        return StreamPlan(what, "copied")

    def _leave_to_muxer(self, stream: Stream, what: StreamInfo) -> StreamPlan:
        """A track of mov and mp4 that muxers make anew, from the chapters or from the timecode of the video."""
        if what.codec == _CHAPTERS:
            return StreamPlan(what, "copied")
        self.timecode = self.timecode or stream.metadata["timecode"]
        if self._muxer in QUICKTIME:
            return StreamPlan(what, "copied")
        return StreamPlan(what, "converted", "into a tag of the video")

    def _add_cover(self, stream: Stream, what: StreamInfo) -> StreamPlan:
        """A still picture: a stream of its own in mp4, an attachment in Matroska."""
        ending = _COVERS.get(what.codec)
        if ending is not None and self._muxer == "mp4":
            self._adopt(stream, self._output.add_stream_from_template(stream, opaque=True))
            return StreamPlan(what, "copied")
        content = _first_content(Path(self._source.name.removeprefix("file:")), stream.index)
        if ending is None or self._muxer != "matroska" or not content:
            return StreamPlan(what, "left out", f"{NAMES[self._muxer]} file holds no cover in {what.codec}")
        name = stream.metadata.get("filename", f"cover.{ending}")
        kind = stream.metadata.get("mimetype", f"image/{'jpeg' if ending == 'jpg' else ending}")
        self._output.add_attachment(name, kind, content)
        self.written.add(stream.index)
        return StreamPlan(what, "copied")

    def _adopt(self, stream: Stream, target: Stream) -> None:
        """Have the packets of ``stream`` written to ``target``, which gets its metadata and disposition."""
        target.metadata.update(stream_metadata(stream, self._muxer))
        if self._muxer in QUICKTIME:  # a track would be made of it, which needs the rate of an encoder
            take_timecode(target.metadata)
        target.disposition = stream.disposition
        self._targets[stream.index] = target
        self._paces[stream.index] = Pace(target, strict=self._muxer in QUICKTIME)

    def start(self) -> None:
        """Go to where the packets of the span begin."""
        copied = [self._source.streams[index] for index in self._targets]
        flowing = [stream for stream in copied if stream.type != "attachment"]
        if not flowing:
            return
        if not self._span.whole and self._source.format.name in SEEKABLE_FORMATS:
            before = self._zero - _SEEK_MARGIN_SECONDS
            if before > 0:
                self._source.seek(int(before * av.time_base), backward=True)
        self._packets = demuxed(self._source, *flowing)
        self._waiting = self._next()

    def copy_first(self) -> None:
        """Write the first packet of each stream, as far as they come early."""
        self.start()
        for _ in range(_EARLY_PACKETS):
            packet = self._waiting
            if packet is None or self.written >= self._targets.keys():
                break
            if packet.stream.index not in self.written:
                self._write(packet)
            self._waiting = self._next()
        self._end()

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write every packet that is decoded before ``seconds`` of the source; with None, all that are left."""
        while self._waiting is not None:
            packet = self._waiting
            if seconds is not None and packet.dts is not None and packet.dts * _base(packet) >= seconds:
                return
            self._write(packet)
            self._waiting = self._next()
        if seconds is None:
            self._end()

    def _next(self) -> Packet[Stream] | None:
        """The next packet that holds something, None at the end."""
        while True:
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError) as error:
                self.warnings.append(f"sound and subtitles end early, the file cannot be read on: {reason(error)}")
                return None
            if packet is None or packet.size:
                return packet

    def _write(self, packet: Packet[Stream]) -> None:
        index = packet.stream.index
        if packet.stream.disposition & Disposition.attached_pic:
            packet.pts = packet.dts = 0
            self._mux(index, [packet])
            return
        if is_filler(_codec(packet.stream), packet) or not (self._span.whole or self._move(packet)):
            return
        converter = self._converters.get(index)
        if converter is not None:
            converted = converter.convert(packet)
            if converted is None:
                return
            packet = converted
        self._mux(index, self._paces[index].timed(packet))

    def _mux(self, index: int, packets: list[Packet[Stream]]) -> None:
        for packet in packets:
            packet.stream = self._targets[index]
            try:
                self._output.mux(packet)
            except (av.error.InvalidDataError, av.error.PatchWelcomeError):  # such as AAC whose frames are damaged
                self._unfit[index] += 1
                continue
            self.written.add(index)

    def _end(self) -> None:
        """Write what is held back, and say what could not be copied as it is."""
        for index, pace in self._paces.items():
            self._mux(index, pace.rest())
            name = f"of the {self._source.streams[index].type} stream {index}"
            if pace.repaired:
                self.warnings.append(
                    f"{pace.repaired} packets {name} had a missing or backward time, which was repaired"
                )
            if self._unfit[index]:
                self.warnings.append(
                    f"{self._unfit[index]} damaged packets {name} could not be copied and are left out"
                )
            converter = self._converters.get(index)
            if converter is not None and converter.unreadable:
                self.warnings.append(f"{converter.unreadable} texts {name} could not be read and are left out")

    def _move(self, packet: Packet[Stream]) -> bool:
        """Shift a packet's timestamps to the span; False where it lies outside."""
        time = packet.pts if packet.pts is not None else packet.dts
        base = _base(packet)
        if time is None or time * base < self._zero:
            return False
        if self._span.stop is not None and time * base - self._zero >= Fraction(self._span.stop - self._span.start):
            return False
        index = packet.stream.index
        if packet.stream.type == "video" and index not in self._started and not packet.is_keyframe:
            return False
        self._started.add(index)
        shift = round(self._zero / base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        return True


def refusal(stream: Stream, muxer: str) -> str:
    """Why the container of ``muxer`` does not take ``stream``; empty where it does. The header is really written."""
    name = NAMES[muxer]
    if stream.type == "attachment" and muxer != "matroska":
        return f"{name} file holds no attachments"
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return f"{name} file cannot hold it"
    return ""


def _codec(stream: Stream) -> str:
    """FFmpeg's name of a stream's codec; empty where it has none."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else ""


def _kind_of_data(stream: Stream) -> str:
    """What is in a stream that has no codec."""
    name = getattr(stream, "name", None)
    if stream.type != "data":
        return name or "unknown"
    if name is None and "timecode" in stream.metadata:
        return _TIMECODE
    is_track = name == "bin_data" and isinstance(stream.container, InputContainer) and stream.container.chapters()
    return _CHAPTERS if is_track else name or "unknown"


def _first_content(path: Path, index: int) -> bytes:
    """The first packet of a stream; empty where there is none."""
    with open_source(path) as container:
        packets = demuxed(container, container.streams[index])
        return next((bytes(packet) for packet in packets if packet.size), b"")


def _base(packet: Packet[Stream]) -> Fraction:
    return fraction(packet.time_base) or time_base_of(packet.stream)
