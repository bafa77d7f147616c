"""From tracks to the faces of each frame, with the weight each is restored by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from vidrestore.config import FadingSettings
from vidrestore.geometry import eye_distance, head_pose
from vidrestore.types import Analysis, Face, Identity, Shot, Timeline, Track

Weights = npt.NDArray[np.float64]
TOO_SMALL = "too small"
TURNED_AWAY = "turned away"
DISABLED = "person disabled"


def build_timeline(analysis: Analysis, settings: FadingSettings) -> Timeline:
    """The faces of each frame of ``analysis``, weighted by size, pose and distance from the ends of their tracks."""
    owners = {track_id: identity for identity in analysis.identities for track_id in identity.track_ids}
    faces: dict[int, list[Face]] = {}
    for track in analysis.tracks:
        for pts, face in _faces_of(track, owners, analysis.shots, analysis.video.time_base, settings):
            faces.setdefault(pts, []).append(face)
    return Timeline({pts: tuple(present) for pts, present in faces.items()})


def _faces_of(
    track: Track,
    owners: Mapping[int, Identity],
    shots: Sequence[Shot],
    time_base: Fraction,
    settings: FadingSettings,
) -> list[tuple[int, Face]]:
    identity = owners.get(track.id)
    size = np.array(
        [_ramp(eye_distance(p), settings.min_eye_pixels, settings.full_eye_pixels) for p in track.landmarks]
    )
    pose = np.array([_facing(p, settings) for p in track.landmarks])
    seconds = np.asarray(track.pts * float(time_base), dtype=np.float64)
    size, pose = _steadied(size, seconds, settings.fade_seconds), _steadied(pose, seconds, settings.fade_seconds)
    weight = size * pose * _ends(track, shots, seconds, settings.fade_seconds)
    strength = 1.0 if identity is None else identity.strength * identity.enabled
    rows = []
    for index, pts in enumerate(track.pts.tolist()):
        kept_because = None
        if strength == 0:
            kept_because = DISABLED
        elif size[index] == 0:
            kept_because = TOO_SMALL
        elif pose[index] == 0:
            kept_because = TURNED_AWAY
        face = Face(
            track.id,
            None if identity is None else identity.id,
            track.landmarks[index],
            0.0 if kept_because else float(weight[index] * strength),
            kept_because,
        )
        rows.append((pts, face))
    return rows


def _ramp(value: float, low: float, high: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    if high <= low:
        return float(value >= high)
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _facing(landmarks: npt.NDArray[np.float32], settings: FadingSettings) -> float:
    yaw, pitch, _ = head_pose(landmarks)
    turn = max(abs(yaw), abs(pitch))
    return 1 - _ramp(turn, settings.full_turn_degrees, settings.max_turn_degrees)


def _steadied(weights: Weights, seconds: Weights, fade_seconds: float) -> Weights:
    """Weights averaged over ``fade_seconds``, so that none jumps from one frame to the next."""
    if len(weights) < 2 or fade_seconds == 0:
        return weights
    step = float(np.median(np.diff(seconds)))
    reach = min(round(fade_seconds / max(step, 1e-6)), 50)
    padded = np.pad(weights, reach, mode="edge")
    averaged = np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    # A face that is hopeless in this very frame stays as it is; one that is good may fade a little.
    return np.where(weights == 0, 0.0, np.minimum(averaged, 1.0))


def _ends(track: Track, shots: Sequence[Shot], seconds: Weights, fade_seconds: float) -> Weights:
    """Weights that rise from the first and fall to the last frame, except where that is a cut, which hides the jump."""
    weight = np.ones(len(seconds))
    if fade_seconds == 0:
        return weight
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    if all(track.pts[0] != shot.first for shot in shots):
        weight = np.minimum(weight, (seconds - seconds[0] + step) / (fade_seconds + step))
    if all(track.pts[-1] != shot.last for shot in shots):
        weight = np.minimum(weight, (seconds[-1] - seconds + step) / (fade_seconds + step))
    return np.clip(weight, 0.0, 1.0)
