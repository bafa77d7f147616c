"""Who a face is, from several looks at it: the good ones count, and those that disagree do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from vidrestore.types import Floats

_KEPT: Final = 48
"""Looks that are remembered of one face: the smaller it is, the more of them it takes."""
_SPACING_SECONDS: Final = 0.06
"""Of looks nearer in time only the best is remembered: neighbouring frames repeat each other, faults included."""
_TRUSTED_SHARE: Final = 0.9
"""Share of the looks, those nearest to the most central one, that make the mean."""


class Appearance:
    """The best looks at one face, spread over time, and what they agree on."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, float, Floats]] = []
        self._agreed: Floats | None = None

    def learn(self, seconds: float, quality: float, embedding: Floats) -> None:
        """Take a look at the face at ``seconds``; ``quality`` (above 0) says how much it tells."""
        near = next((look for look in self._looks if abs(look[0] - seconds) < _SPACING_SECONDS), None)
        if near is not None:
            if near[1] >= quality:
                return
            self._looks = [look for look in self._looks if look is not near]
        self._looks.append((seconds, quality, embedding.copy()))
        self._looks.sort(key=lambda look: -look[1])
        del self._looks[_KEPT:]
        self._agreed = None

    def forget_from(self, seconds: float) -> None:
        """Drop the looks from ``seconds`` on: they were at another face."""
        self._looks = [look for look in self._looks if look[0] < seconds]
        self._agreed = None

    def absorb(self, other: Appearance) -> None:
        """Take over what was seen of the same face in another stretch of time."""
        for look in other._looks:
            self.learn(*look)

    @property
    def embedding(self) -> Floats | None:
        """The agreed embedding ``(D,)``, normalised; None where there was no look."""
        if self._agreed is None and self._looks:
            qualities = [quality for _, quality, _ in self._looks]
            self._agreed = agreed_embedding([embedding for _, _, embedding in self._looks], qualities)
        return self._agreed


def mean_embedding(embeddings: Iterable[Floats | None]) -> Floats | None:
    """The mean ``(D,)``, normalised, of the ``embeddings`` (each ``(D,)``) that are known; None without any."""
    known = [embedding for embedding in embeddings if embedding is not None]
    if not known:
        return None
    mean = np.mean(known, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), dtype=np.float32)


def agreed_embedding(embeddings: Sequence[Floats], qualities: Sequence[float]) -> Floats:
    """Weighted mean ``(D,)``, normalised, of the ``embeddings`` (each ``(D,)``, normalised) that agree.

    The medoid by weighted cosine is the centre; the tenth of the looks furthest from it goes, so that a few frames
    of a hand, a blink or another face do not move the mean (a trimmed mean around the medoid; Kaufman and Rousseeuw,
    "Finding Groups in Data", 1990). Fewer than four looks are all kept.
    """
    stacked, weights = np.stack(embeddings).astype(np.float64), np.asarray(qualities, dtype=np.float64)
    similarity = stacked @ stacked.T
    centre = int(np.argmax(similarity @ weights))
    trusted = len(stacked) if len(stacked) < 4 else int(np.ceil(_TRUSTED_SHARE * len(stacked)))
    nearest = np.argsort(-similarity[centre], kind="stable")[:trusted]
    mean = weights[nearest] @ stacked[nearest]
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)
