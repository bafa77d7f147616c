from __future__ import annotations

import numpy as np
import pytest

from vidrestore.appearance import Appearance, agreed_embedding


def person(seed: int) -> np.ndarray:
    embedding = np.random.default_rng(seed).normal(0, 1, 128)
    return (embedding / np.linalg.norm(embedding)).astype(np.float32)


def looks(who: int, count: int, noise: float) -> list[np.ndarray]:
    rng = np.random.default_rng(who + 100)
    noisy = [person(who) + noise * rng.normal(0, 1, 128) / np.sqrt(128) for _ in range(count)]
    return [(look / np.linalg.norm(look)).astype(np.float32) for look in noisy]


def test_many_looks_tell_more_than_one() -> None:
    noisy = looks(1, 30, noise=1.5)
    alone = float(np.mean([look @ person(1) for look in noisy]))
    together = float(agreed_embedding(noisy, [1.0] * 30) @ person(1))
    assert together > 0.9
    assert alone < 0.65


def test_a_few_looks_at_somebody_else_do_not_count() -> None:
    mixed = [*looks(1, 18, noise=0.5), *looks(2, 2, noise=0.5)]
    agreed = agreed_embedding(mixed, [1.0] * 20)
    assert float(np.linalg.norm(agreed)) == pytest.approx(1, abs=1e-5)
    assert abs(float(agreed @ person(2))) <= abs(float(agreed_embedding(mixed[:18], [1.0] * 18) @ person(2))) + 0.02


def test_of_neighbouring_looks_the_best_is_kept() -> None:
    appearance = Appearance()
    appearance.learn(0.00, 0.5, person(1))
    appearance.learn(0.04, 0.9, person(2))
    appearance.learn(0.05, 0.4, person(3))
    np.testing.assert_allclose(appearance.embedding, person(2), atol=1e-6)


def test_looks_can_be_taken_over_and_taken_back() -> None:
    one, other = Appearance(), Appearance()
    assert one.embedding is None
    one.learn(0.0, 1.0, person(1))
    other.learn(5.0, 1.0, person(2))
    one.absorb(other)
    assert float(one.embedding @ person(1)) == pytest.approx(float(one.embedding @ person(2)), abs=1e-5)
    one.forget_from(5.0)
    np.testing.assert_allclose(one.embedding, person(1), atol=1e-6)
