"""The clip is its own teacher: its sharp frames, made as poor as its poor ones are, are a truth of its own."""

from vidrestore.self_teaching.clip_degradation import ClipDegradation, estimate_degradation
from vidrestore.self_teaching.expectation import Expectation, expected_gain
from vidrestore.self_teaching.personalization import Personalized, personalize, restore_personalized

__all__ = [
    "ClipDegradation",
    "Expectation",
    "Personalized",
    "estimate_degradation",
    "expected_gain",
    "personalize",
    "restore_personalized",
]
