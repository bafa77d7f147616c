from __future__ import annotations

import numpy as np
import pytest

from vidrestore import geometry


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, shift])


def turned_head(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Landmarks of the mean head seen from far away; points that the pose does not use stay at its centre."""
    right, down, clock = np.radians([-yaw, -pitch, roll])
    around_y = np.array([[np.cos(right), 0, np.sin(right)], [0, 1, 0], [-np.sin(right), 0, np.cos(right)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(down), -np.sin(down)], [0, np.sin(down), np.cos(down)]])
    around_z = np.array([[np.cos(clock), -np.sin(clock), 0], [np.sin(clock), np.cos(clock), 0], [0, 0, 1]])
    head = np.array(list(geometry._HEAD_MODEL.values()), dtype=float) @ (around_z @ around_y @ around_x).T
    points = np.full((68, 2), 300.0)
    points[list(geometry._HEAD_MODEL)] = 300 + head[:, :2] * 4000 / (4000 + head[:, 2:])
    return points


def test_overlap_is_the_shared_share_of_the_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 9]], np.float32)
    shared = geometry.overlap(boxes, boxes)
    assert np.allclose(shared, shared.T)
    assert np.allclose(np.diag(shared), [1, 1, 1, 0])
    assert shared[0, 1] == pytest.approx(1 / 3)
    assert shared[0, 2] == 0
    assert geometry.overlap(boxes, boxes[:0]).shape == (4, 0)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.2, 170.0), (7.0, -35.0)])
def test_fit_similarity_finds_the_transform_that_made_the_points(scale: float, degrees: float) -> None:
    source = np.random.default_rng(1).normal(0, 40, (5, 2)) + 1000
    matrix = similarity(scale, degrees, (30.0, -700.0))
    target = source @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(geometry.fit_similarity(source, target), matrix, atol=1e-6)


def test_fit_similarity_is_the_least_squares_optimum_and_never_mirrors() -> None:
    rng = np.random.default_rng(2)
    source = rng.normal(0, 10, (6, 2))
    target = source * [-1, 1] + rng.normal(0, 1, (6, 2))
    matrix = geometry.fit_similarity(source, target)
    assert np.linalg.det(matrix[:, :2]) > 0

    def error(candidate: np.ndarray) -> float:
        return float(np.sum((source @ candidate[:, :2].T + candidate[:, 2] - target) ** 2))

    for change in rng.normal(0, 0.05, (50, 4)):
        a, b, x, y = change
        assert error(matrix + np.array([[a, -b, x], [b, a, y]])) >= error(matrix)


@pytest.mark.parametrize("source", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_fit_similarity_refuses_points_without_extent(source: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite points"):
        geometry.fit_similarity(source, np.zeros((5, 2)))


def test_invert_undoes_transform() -> None:
    matrix = similarity(2.5, 40, (100, -3))
    points = np.random.default_rng(3).uniform(0, 500, (7, 68, 2)).astype(np.float32)
    back = geometry.transform(geometry.invert(matrix), geometry.transform(matrix, points))
    assert back.shape == points.shape
    assert np.abs(back - points).max() < 1e-3


def test_box_of_holds_all_points() -> None:
    assert geometry.box_of(np.array([[3.0, 9.0], [1.0, 20.0], [2.0, 4.0]])).tolist() == [1, 4, 3, 20]


def test_eye_distance() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[42:48] = [30, 40]
    assert geometry.eye_distance(landmarks) == 50


@pytest.mark.parametrize("yaw", [-50, -20, 0, 20, 50])
@pytest.mark.parametrize("pitch", [-30, 0, 30])
@pytest.mark.parametrize("roll", [-60, 0, 25])
def test_head_pose_of_a_turned_head(yaw: float, pitch: float, roll: float) -> None:
    assert geometry.head_pose(turned_head(yaw, pitch, roll)) == pytest.approx((yaw, pitch, roll), abs=4)


def test_head_pose_does_not_depend_on_place_and_size() -> None:
    head = turned_head(20, 10, 5)
    assert geometry.head_pose(head * 0.1 + 900) == pytest.approx(geometry.head_pose(head), abs=0.1)


def test_head_pose_signs() -> None:
    """Moving the nose to the right turns right, moving it up looks up, lowering the right eye tilts clockwise."""
    frontal = turned_head(0, 0, 0)
    right, up = frontal.copy(), frontal.copy()
    right[30:36, 0] += 8
    up[30:36, 1] -= 8
    assert geometry.head_pose(right)[0] > 5
    assert geometry.head_pose(up)[1] > 5
    middle = frontal.mean(axis=0)
    clockwise = geometry.transform(similarity(1, 30, (0, 0)), frontal - middle)
    assert clockwise[45, 1] > clockwise[36, 1]
    assert geometry.head_pose(clockwise)[2] == pytest.approx(30, abs=1)


def test_head_pose_never_fails_on_finite_points() -> None:
    rng = np.random.default_rng(4)
    degenerate = [np.zeros((68, 2)), np.full((68, 2), 1e6), np.repeat(np.arange(68.0)[:, None], 2, axis=1)]
    for points in [*degenerate, *(rng.normal(0, 10.0 ** rng.integers(-3, 6), (68, 2)) for _ in range(200))]:
        assert np.all(np.isfinite(geometry.head_pose(points)))
    assert geometry.head_pose(np.zeros((68, 2))) == (0, 0, 0)
