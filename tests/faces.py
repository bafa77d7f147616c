"""Faces for the tests: landmarks of a mean face and of a photograph, and what stands around them in a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidrestore.types import ColorInfo, Face, Frame, StreamInfo, Track, VideoInfo


def _points(xs: str, ys: str) -> NDArray[np.float32]:
    return np.stack([np.array(xs.split(), dtype=np.float32), np.array(ys.split(), dtype=np.float32)], axis=1)


MEAN_FACE = _points(
    """
    117 118 120 127 139 160 178 212 258 304 337 355 376 388 394 396 396 146 158 176 200 229 283 312 336 354 366
    256 256 256 256 229 240 257 273 284 170 182 201 222 204 185 290 312 331 343 327 308 196 222 239 257 274 291
    319 303 275 257 239 211 201 241 257 273 314 272 257 242
    """,
    """
    252 282 312 353 392 424 442 464 474 464 441 424 391 351 310 280 251 221 211 206 208 214 214 207 206 211 220
    246 274 295 312 327 334 336 334 327 244 236 235 247 249 250 247 235 236 244 249 249 369 363 361 364 361 362
    369 387 401 403 401 387 370 372 373 372 370 385 386 385
    """,
)
"""68 landmarks of a frontal face in a 512 x 512 aligned crop; its eyes are 125 pixels apart, around (256, 243)."""

ASTRONAUT = _points(
    """
    184 184 184 185 187 194 199 208 222 236 247 252 258 262 265 265 264 191 195 200 206 214 231 239 247 252 256
    223 223 223 223 216 218 224 228 231 198 201 207 214 208 202 233 239 246 249 245 239 206 213 218 222 228 232
    240 236 227 223 217 209 207 218 223 227 238 226 223 218
    """,
    """
    105 114 122 134 144 154 160 165 168 168 162 157 148 136 125 116 108 96 94 91 93 94 95 93 94 95 98 104 112
    118 122 128 128 129 129 128 103 101 101 104 105 105 105 100 101 104 105 105 139 137 136 137 137 137 140 144
    148 148 147 144 140 140 140 140 140 143 143 142
    """,
)
"""68 landmarks in ``skimage.data.astronaut()``, looked at by eye."""


def placed(x: float, y: float, eye_distance: float, roll_degrees: float = 0.0) -> NDArray[np.float32]:
    """The mean face with the point between its eyes at ``(x, y)``, tilted clockwise."""
    angle, scale = np.deg2rad(roll_degrees), eye_distance / 125.0
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ((MEAN_FACE - (256.0, 243.0)) @ turn + (x, y)).astype(np.float32)


def face(landmarks: NDArray[np.float32], weight: float = 1.0, identity: int | None = None, track: int = 0) -> Face:
    """A face to restore."""
    return Face(track, identity, landmarks, weight)


def track(number: int, pts: list[int], landmarks: NDArray[np.float32]) -> Track:
    """A face that stays where it is."""
    count = len(pts)
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    return Track(
        number,
        np.array(pts),
        np.tile(box, (count, 1)),
        np.tile(landmarks, (count, 1, 1)),
        np.full(count, 0.9),
        np.eye(4, dtype=np.float32)[number % 4],
    )


def video_info(path: Path = Path("clip.mp4")) -> VideoInfo:
    """What a container would say of a plain clip."""
    return VideoInfo(
        path=path,
        width=160,
        height=120,
        rotation=90,
        time_base=Fraction(1, 12800),
        average_rate=Fraction(30000, 1001),
        frame_count=12,
        duration=0.48,
        pixel_format="yuv420p",
        codec="h264",
        color=ColorInfo(1, 1, 6, True),
        field_order="progressive",
        sample_aspect_ratio=Fraction(4, 3),
        streams=(StreamInfo(0, "video", "h264"), StreamInfo(1, "audio", "aac", "deu")),
    )


def planes(frame: Frame) -> list[NDArray]:
    """Copies of the stored samples of every component."""
    return [frame.picture.codes(component).copy() for component in frame.picture.layout.components]


def same_planes(one: list[NDArray], other: list[NDArray]) -> bool:
    """Whether all samples are equal."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
