"""Compress pictures as video and decode them again, in memory, to see what a codec does to them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np
from av.video.stream import VideoStream

from vidrestore.types import Image


def recompress(images: Sequence[Image], codec: str, options: dict[str, str]) -> list[Image]:
    """Encode RGB pictures (H, W, 3), H and W even, as consecutive frames; return what decodes (H, W, 3).

    ``codec`` is an encoder name such as ``libx264`` or ``mpeg2video``; ``options`` are its options.
    """
    with av.open(_encoded(images, codec, options)[0], "r") as encoded:
        return [np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in encoded.decode(video=0)]


def bits_per_pixel(images: Sequence[Image], codec: str, options: dict[str, str]) -> float:
    """What :func:`recompress` spends on each frame but the first, which leans on none; at least two ``images``."""
    _, sizes = _encoded(images, codec, options)
    height, width = images[0].shape[:2]
    return float(8 * np.mean(sizes[1:]) / (width * height))


def _encoded(images: Sequence[Image], codec: str, options: dict[str, str]) -> tuple[io.BytesIO, list[int]]:
    """A file in memory, and the bytes of each frame in the order of decoding."""
    buffer = io.BytesIO()
    sizes: list[int] = []
    height, width = images[0].shape[:2]
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        frames = (av.VideoFrame.from_ndarray(image, format="rgb24") for image in images)
        for frame in (*frames, None):
            for packet in stream.encode(frame):
                sizes.append(packet.size)
                container.mux(packet)
    buffer.seek(0)
    return buffer, sizes
