from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter

from vidrestore.errors import ConfigError
from vidrestore.smoothing import RtsSmoother, SmoothingSettings

LANDMARKS = Path(__file__).parents[2] / "shared" / "clips" / "landmarks"
NAN = np.float32(np.nan)


def face(eyes: float = 60.0) -> np.ndarray:
    """68 points whose eyes are ``eyes`` pixels apart."""
    points = np.random.default_rng(7).normal(0, eyes / 2, (68, 2))
    points[36:42] = [-eyes / 2, 0]
    points[42:48] = [eyes / 2, 0]
    return points


def moving(times: np.ndarray, path: np.ndarray, eyes: float = 60.0) -> np.ndarray:
    return (face(eyes) + path.reshape(len(times), 1, -1)).astype(np.float32)


def plain_filterpy(values: np.ndarray, times: np.ndarray, settings: SmoothingSettings, eyes: float) -> np.ndarray:
    """One coordinate by filterpy alone, the textbook way."""
    noise, agility = settings.noise_eye_distances * eyes, settings.agility * eyes
    model = KalmanFilter(dim_x=2, dim_z=1)
    model.H, model.R = np.array([[1.0, 0.0]]), np.array([[noise**2]])
    model.x, model.P = np.array([[values[0]], [0.0]]), np.diag([noise**2, (30 * eyes) ** 2])
    steps = np.diff(times, prepend=times[0])
    transitions = [np.array([[1.0, step], [0.0, 1.0]]) for step in steps]
    disturbances = [Q_continuous_white_noise(2, step, agility**2) for step in steps]
    means, covariances = [model.x], [model.P]
    for k in range(1, len(values)):
        model.predict(F=transitions[k], Q=disturbances[k])
        model.update(None if np.isnan(values[k]) else values[k])
        means.append(model.x)
        covariances.append(model.P)
    smooth = model.rts_smoother(np.array(means), np.array(covariances), transitions, disturbances)[0]
    return np.asarray(smooth[:, 0, 0])


def test_equals_plain_filterpy_on_every_coordinate() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([1 / 25, 2 / 25, 0.1], 200))
    path = np.stack([20 * np.sin(3 * times), 5 * times], axis=1)
    points = moving(times, path, 60.0).astype(np.float64)
    points += rng.normal(0, 1, (200, 1, 2))  # whole faces, so that the distance of the eyes stays what it is
    points[rng.integers(1, 199, 30)] = np.nan
    points[90:110] = np.nan
    settings = SmoothingSettings()
    smooth = RtsSmoother(settings)
    inner = smooth._smooth(points.reshape(200, -1), ~np.isnan(points[:, 0, 0]), times, points)
    for coordinate in (0, 33, 135):
        expected = plain_filterpy(points.reshape(200, -1)[:, coordinate], times, settings, 60.0)
        assert np.abs(inner[:, coordinate] - expected).max() < 1e-6
    assert np.abs(smooth(points, times).reshape(200, -1) - inner).max() < 1e-4  # only float32 lies between


@pytest.mark.parametrize("speed", [0.0, 150.0])
def test_keeps_constants_and_straight_lines_across_gaps_and_uneven_times(speed: float) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.1, 120))
    line = moving(times, np.stack([speed * times, 300 - speed * times], axis=1))
    seen = line.copy()
    seen[20:60] = np.nan
    assert np.abs(RtsSmoother()(seen, times) - line).max() < 0.02


def test_ends_that_were_not_seen_stand_still() -> None:
    times = np.arange(30) / 25
    points = moving(times, np.stack([40 * times, 0 * times], axis=1))
    points[:5], points[-4:] = np.nan, np.nan
    smooth = RtsSmoother()(points, times)
    assert np.array_equal(smooth[:5], np.repeat(smooth[5:6], 5, axis=0))
    assert np.array_equal(smooth[-4:], np.repeat(smooth[-5:-4], 4, axis=0))


def test_a_row_with_any_missing_point_is_missing() -> None:
    times = np.arange(40) / 25
    points = moving(times, np.zeros((40, 2)))
    spoilt = points.copy()
    spoilt[10] += 500
    spoilt[10, 3, 0] = np.nan
    assert np.abs(RtsSmoother()(spoilt, times) - points).max() < 0.02


def test_takes_the_jitter_from_a_still_head_and_does_not_lag_in_a_turn() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(250) / 25
    turn = 50 / (1 + np.exp(-12 * (times - 5)))  # 50 pixels in about half a second
    truth = moving(times, np.stack([turn, 0 * times], axis=1), 50.0)
    noisy = truth + rng.normal(0, 0.015 * 50, truth.shape).astype(np.float32)
    smooth = RtsSmoother()(noisy, times)

    def unrest(points: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.diff(points[10:90], 2, axis=0) ** 2)))

    assert unrest(smooth) < 0.3 * unrest(noisy)
    assert np.sqrt(np.mean((smooth - truth) ** 2)) < 0.75 * np.sqrt(np.mean((noisy - truth) ** 2))
    centre, wanted = smooth.mean(axis=1)[:, 0], truth.mean(axis=1)[:, 0]
    lags = [np.mean((centre[100 + lag : 150 + lag] - wanted[100:150]) ** 2) for lag in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(lags)) == 2


def test_smoothing_grows_with_the_face() -> None:
    times = np.arange(60) / 25
    small = moving(times, np.random.default_rng(3).normal(0, 1, (60, 2)), 30.0)
    settings = SmoothingSettings(min_noise_pixels=1e-6)
    assert np.abs(RtsSmoother(settings)(small * 4, times) - 4 * RtsSmoother(settings)(small, times)).max() < 1e-3


def test_ten_thousand_frames_and_one() -> None:
    times = np.arange(10_000) / 30
    smooth = RtsSmoother()(moving(times, np.stack([np.sin(times), np.cos(times)], axis=1) * 30), times)
    assert np.all(np.isfinite(smooth))
    one = moving(np.zeros(1), np.zeros((1, 2)))
    assert np.array_equal(RtsSmoother()(one, np.zeros(1)), one)


def test_points_that_are_no_landmarks() -> None:
    times = np.arange(50) / 25
    corners = np.tile(np.array([[0, 0], [40, 50]], np.float32), (50, 1, 1))
    corners[7] = NAN
    assert np.abs(RtsSmoother()(corners, times) - [[0, 0], [40, 50]]).max() < 0.01


def test_refuses_what_it_cannot_smooth() -> None:
    points = np.zeros((3, 68, 2), np.float32)
    with pytest.raises(ValueError, match="rise strictly"):
        RtsSmoother()(points, np.array([0.0, 0.1, 0.1]))
    with pytest.raises(ValueError, match="do not fit"):
        RtsSmoother()(points, np.arange(2.0))
    with pytest.raises(ValueError, match="complete row"):
        RtsSmoother()(points * NAN, np.arange(3.0))
    with pytest.raises(ConfigError, match=r"smoothing\.agility is -1"):
        SmoothingSettings(agility=-1)


@pytest.mark.skipif(not LANDMARKS.is_dir(), reason=f"no real landmarks at {LANDMARKS}")
def test_predicts_left_out_frames_of_a_real_head_better_than_it_jitters() -> None:
    """Every fifth frame is hidden and must be guessed from its neighbours to 1 % of the eye distance."""
    with np.load(LANDMARKS / "webcam_single_400x300.npz") as stored:
        points = stored["landmarks68"][:300]
    times = np.arange(300) / 25
    hidden = np.arange(300) % 5 == 2
    seen = points.copy()
    seen[hidden] = np.nan
    eyes = np.linalg.norm(points[:, 42:48].mean(axis=1) - points[:, 36:42].mean(axis=1), axis=1).mean()
    error = np.sqrt(np.mean((RtsSmoother()(seen, times) - points)[hidden] ** 2)) / eyes
    assert error < 0.01
