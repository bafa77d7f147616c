"""Steady landmarks: fixed-interval Kalman smoothing over a whole track, with gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vidrestore.errors import ConfigError
from vidrestore.geometry import eye_distance
from vidrestore.types import LANDMARK_COUNT, Floats

Array = npt.NDArray[np.float64]

_SPEED_SPREAD: Final = 30.0
"""Standard deviation, in eye distances per second, of the speed before anything was seen: as good as unknown."""


@dataclass(frozen=True, kw_only=True)
class SmoothingSettings:
    """How much a landmark jitters and how hard a head accelerates; their ratio is the smoothing."""

    noise_eye_distances: float = 0.015
    """Standard deviation of one detected landmark coordinate, in eye distances. More is steadier."""
    agility: float = 3.0
    """Square root of the spectral density of the acceleration, in eye distances per second^1.5. More follows faster
    turns; less is steadier."""
    min_noise_pixels: float = 0.2
    """Pixels below which no landmark is believed, however small the face."""

    def __post_init__(self) -> None:
        for name, value in (
            ("noise_eye_distances", self.noise_eye_distances),
            ("agility", self.agility),
            ("min_noise_pixels", self.min_noise_pixels),
        ):
            if not 0 < value < float("inf"):
                raise ConfigError(f"smoothing.{name} is {value}, allowed: greater than 0")


class RtsSmoother:
    """The Kalman smoother of Rauch, Tung and Striebel (AIAA Journal 3(8), 1965) on every coordinate of a track.

    The model is constant velocity disturbed by white acceleration, in real seconds, so a variable frame rate is no
    matter. Looking both ways there is no lag. The gains do not depend on the coordinates: filterpy computes them once
    for a track, and two recursions apply them to all coordinates together. Noise and agility grow with the face.
    """

    def __init__(self, settings: SmoothingSettings | None = None) -> None:
        self._settings = settings or SmoothingSettings()

    def __call__(self, points: Floats, seconds: Array) -> Floats:
        """``points`` ``(T, P, 2)`` at rising ``seconds`` ``(T,)``, without jitter and without gaps.

        A row with any NaN is missing. Gaps are crossed by the motion on both sides; rows before the first and after the
        last seen one stand still. Raises ``ValueError`` where shapes or times do not fit or no row was seen.
        """
        times = np.asarray(seconds, dtype=np.float64)
        if points.ndim != 3 or times.shape != points.shape[:1]:
            raise ValueError(f"points {points.shape} and seconds {times.shape} do not fit, expected (T, P, 2) and (T,)")
        if np.any(np.diff(times) <= 0):
            raise ValueError("seconds must rise strictly")
        rows = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
        seen = np.all(np.isfinite(rows), axis=1)
        if not seen.any():
            raise ValueError("a track without a single complete row cannot be smoothed")
        first, last = np.flatnonzero(seen)[[0, -1]]
        inside = slice(first, last + 1)
        smooth = self._smooth(rows[inside], seen[inside], times[inside], points[inside])
        whole = np.pad(smooth, ((first, len(rows) - 1 - last), (0, 0)), mode="edge")
        return whole.astype(np.float32).reshape(points.shape)

    def _smooth(self, rows: Array, seen: npt.NDArray[np.bool_], times: Array, points: Floats) -> Array:
        """``rows`` ``(T, C)`` smoothed; the first and last row are seen."""
        sizes = _face_sizes(points, seen)
        noise = np.maximum(self._settings.noise_eye_distances * sizes, self._settings.min_noise_pixels)
        transitions, gains, smoother_gains = _gains(seen, times, noise, self._settings.agility * sizes, sizes)
        states = np.zeros((len(rows), 2, rows.shape[1]))
        states[0, 0] = rows[0]
        for k in range(1, len(rows)):
            state = transitions[k] @ states[k - 1]
            if seen[k]:
                state += np.outer(gains[k], rows[k] - state[0])
            states[k] = state
        for k in range(len(rows) - 2, -1, -1):
            states[k] += smoother_gains[k] @ (states[k + 1] - transitions[k + 1] @ states[k])
        return np.asarray(states[:, 0])


def _face_sizes(points: Floats, seen: npt.NDArray[np.bool_]) -> Array:
    """Size of the face in each row ``(T,)``, in pixels of eye distance, carried over the gaps.

    Where the points are not 68 landmarks, their root mean square distance from their centre stands in for it.
    """
    if points.shape[1] == LANDMARK_COUNT:
        found = np.array([eye_distance(row) for row in points[seen]])
    else:
        centred = points[seen] - points[seen].mean(axis=1, keepdims=True)
        found = np.sqrt(np.mean(np.sum(centred.astype(np.float64) ** 2, axis=2), axis=1))
    everywhere = np.interp(np.arange(len(seen)), np.flatnonzero(seen), found)
    return np.maximum(np.asarray(everywhere, dtype=np.float64), 1.0)


def _gains(
    seen: npt.NDArray[np.bool_], times: Array, noise: Array, agility: Array, sizes: Array
) -> tuple[Array, Array, Array]:
    """Transitions ``(T, 2, 2)``, filter gains ``(T, 2)`` and smoother gains ``(T, 2, 2)`` of one coordinate.

    All but the first of ``seen`` may be missing. ``noise`` ``(T,)`` is in pixels, ``agility`` in pixels per second^1.5.
    """
    # Imported here because it takes more than a second, which every command would wait.
    from filterpy.common import Q_continuous_white_noise
    from filterpy.kalman import KalmanFilter

    count = len(times)
    steps = np.diff(times, prepend=times[0])
    transitions = np.tile(np.eye(2), (count, 1, 1))
    transitions[:, 0, 1] = steps
    disturbances = np.array([Q_continuous_white_noise(2, step, a**2) for step, a in zip(steps, agility, strict=True)])
    model = KalmanFilter(dim_x=2, dim_z=1)
    model.H = np.array([[1.0, 0.0]])
    model.P = np.diag([noise[0] ** 2, (_SPEED_SPREAD * sizes[0]) ** 2])
    gains, covariances = np.zeros((count, 2)), np.empty((count, 2, 2))
    covariances[0] = model.P
    for k in range(1, count):
        model.predict(F=transitions[k], Q=disturbances[k])
        if seen[k]:
            model.update(0.0, R=noise[k] ** 2)
            gains[k] = model.K[:, 0]
        covariances[k] = model.P
    still = np.zeros((count, 2, 1))
    _, _, smoother_gains, _ = model.rts_smoother(still, covariances, list(transitions), list(disturbances))
    return transitions, gains, np.asarray(smoother_gains)
