"""How hard a video is compressed: the bits it spends, and the quantiser where its decoder tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.sidedata.encparams import VideoEncParams
from av.video.frame import PictureType

from vidrestore.video.probe import main_stream, open_source, start_of, time_base_of
from vidrestore.video.read import Decoder, DecodeReport, decode_from

_FRAMES = 48
"""Frames whose quantisers are read, from one place of the video."""
_PACKETS = 5000
"""Packets whose sizes are read, from the start of the video."""
_UNITS = {"h264": 1.0, "mpeg1video": 2.0, "mpeg2video": 2.0, "mpeg4": 2.0}
"""What one step of an encoder's quantiser is in its decoder's report."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Compression of a video stream."""

    codec: str
    """FFmpeg's name of the decoder, such as ``h264``."""
    bits_per_pixel: float
    """Mean over the frames that lean on others; over all frames where none does."""
    quantiser: float | None
    """Mean over the blocks of frames that lean on earlier ones: 0..51 for H.264, 1..31 for MPEG-1, 2 and 4; None for
    other codecs."""


def read_coding(path: Path, start: float = 0.0) -> Coding:
    """The compression of a video; quantisers are those of the frames from ``start`` on, in seconds.

    Raises:
        VideoError: the file cannot be opened or has no video stream.

    """
    with open_source(path) as container:
        stream = main_stream(container, path)
        codec, pixels = stream.codec_context.name, stream.width * stream.height
        stream.codec_context.options |= {"export_side_data": "venc_params"}
        decoder = Decoder(container, stream, DecodeReport())
        target = int((start_of(stream) + Fraction(start)) // time_base_of(stream))
        pictures = decode_from(path, decoder, target) if start > 0 else decoder.decode()
        quantisers = _quantisers(islice(pictures, _FRAMES))
    with open_source(path) as container:
        stream = main_stream(container, path)
        packets = Decoder(container, stream, DecodeReport()).packets()
        sizes = [(packet.size, packet.is_keyframe) for packet in islice(packets, _PACKETS) if packet.size]
    leaning = [size for size, key in sizes if not key] or [size for size, _ in sizes] or [0]
    quantiser = float(np.mean(quantisers)) / _UNITS[codec] if quantisers and codec in _UNITS else None
    return Coding(codec, 8 * float(np.mean(leaning)) / pixels, quantiser)


def _quantisers(pictures: Iterable[VideoFrame]) -> list[float]:
    """The mean quantiser of each picture that leans on earlier ones; of all pictures where none does.

    Encoders give the others a few steps less or more, by a rule of their own.
    """
    found = [
        (picture.pict_type == PictureType.P, float(told.qp_map().mean()))
        for picture in pictures
        for told in picture.side_data
        if isinstance(told, VideoEncParams) and told.nb_blocks
    ]
    return [quantiser for leans, quantiser in found if leans] or [quantiser for _, quantiser in found]
