"""Where a face's box is and where it goes: one Kalman filter for each face that is followed."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from vidrestore.types import Floats


class BoxFilter:
    """A filterpy ``KalmanFilter`` over centre x, centre y, log height and log aspect of one face.

    The first three have velocities, which fade with a time constant in gaps, because nobody turns his head for ever.
    Noise grows with the face, so small and large faces are treated alike.
    """

    _FADE_SECONDS: Final = 0.5
    _PLACE_NOISE: Final = 0.04
    """Standard deviation of a detected centre, in face heights; of its log height and log aspect, as it is."""
    _ACCELERATION: Final = 8.0
    """Face heights per second squared that the centre is expected to accelerate by."""
    _GROWTH: Final = 2.0
    """The same for the log height, per second squared."""

    def __init__(self, box: Floats, seconds: float) -> None:
        # Imported here because it takes more than a second, which every command would wait.
        from filterpy.kalman import KalmanFilter

        self.seconds = seconds
        self._filter = KalmanFilter(dim_x=7, dim_z=4)
        self._filter.H = np.eye(4, 7)
        self._filter.x[:4, 0] = place_of(box)
        height = self._height
        self._filter.P = np.diag([*self._noise(), (3 * height) ** 2, (3 * height) ** 2, 1.0])

    @property
    def _height(self) -> float:
        return math.exp(self._filter.x[2, 0])

    @property
    def box(self) -> Floats:
        x, y, log_height, log_aspect = self._filter.x[:4, 0]
        height = math.exp(log_height)
        half_width, half_height = height * math.exp(log_aspect) / 2, height / 2
        return np.array([x - half_width, y - half_height, x + half_width, y + half_height], dtype=np.float32)

    def _noise(self) -> npt.NDArray[np.float64]:
        height = self._height
        return np.array([height, height, 1.0, 1.0]) ** 2 * self._PLACE_NOISE**2

    def predict(self, seconds: float) -> None:
        """Move on to ``seconds``; a time that is not later changes nothing."""
        step = seconds - self.seconds
        if step <= 0:
            return
        fade = math.exp(-step / self._FADE_SECONDS)
        transition = np.diag([1.0, 1.0, 1.0, 1.0, fade, fade, fade])
        transition[[0, 1, 2], [4, 5, 6]] = self._FADE_SECONDS * (1 - fade)
        strength = np.array([self._ACCELERATION * self._height, self._ACCELERATION * self._height, self._GROWTH])
        push = np.zeros((7, 3))
        push[[0, 1, 2], [0, 1, 2]] = strength * step**2 / 2
        push[[4, 5, 6], [0, 1, 2]] = strength * step
        disturbance = push @ push.T
        disturbance[3, 3] = self._PLACE_NOISE**2 * step
        self._filter.predict(F=transition, Q=disturbance)
        self.seconds = seconds

    def update(self, box: Floats) -> None:
        self._filter.update(place_of(box)[:, None], R=np.diag(self._noise()))


def place_of(box: Floats) -> npt.NDArray[np.float64]:
    """Centre x, centre y, log height, log aspect (width / height) of ``box``; sides below a pixel count as one."""
    x0, y0, x1, y1 = (float(side) for side in box)
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, math.log(height), math.log(width / height)])
