"""From tracks to the faces of each frame, with the weight each is restored by."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from vidrestore.config import FadingSettings
from vidrestore.gating import ramp
from vidrestore.geometry import eye_distance, head_pose, overlap
from vidrestore.types import Analysis, Face, Floats, Identity, Shot, Span, Timeline, Track

Weights = npt.NDArray[np.float64]
TOO_SMALL = "too small"
TURNED_AWAY = "turned away"
DISABLED = "person disabled"
OUT_OF_SPAN = "outside the person's time"
HIDDEN = "hidden behind another face"
UNSEEN = "not seen for a while"
NOT_CHOSEN = "in a frame that was not chosen"
_UNSEEN_SECONDS = 0.3
"""A face that was not seen for longer, before and after, may be behind something, and its landmarks are a guess."""
_HIDDEN_OVERLAP = 0.3
"""Overlap with a face that was seen above which a face that was not seen is taken to be behind it."""


def build_timeline(analysis: Analysis, settings: FadingSettings) -> Timeline:
    """The faces of each frame of ``analysis``, weighted by size, pose and distance from the ends of their tracks."""
    owners = {track_id: identity for identity in analysis.identities for track_id in identity.track_ids}
    seen: dict[int, list[tuple[int, Floats]]] = {}
    for track in analysis.tracks:
        for index in np.flatnonzero(track.scores > 0).tolist():
            seen.setdefault(int(track.pts[index]), []).append((track.id, track.boxes[index]))
    faces: dict[int, list[Face]] = {}
    for track in analysis.tracks:
        for pts, face in _faces_of(track, owners, seen, analysis, settings):
            faces.setdefault(pts, []).append(face)
    return Timeline({pts: tuple(present) for pts, present in faces.items()})


def restored_only_in(chosen: Container[int], timeline: Timeline) -> Timeline:
    """``timeline``, where faces outside the ``chosen`` frames (pts) stay as they are; they still help those beside."""
    return Timeline(
        {
            pts: faces if pts in chosen else tuple(replace(face, kept_because=NOT_CHOSEN) for face in faces)
            for pts, faces in timeline.faces.items()
        }
    )


def of_fields(timeline: Timeline, second_after: int) -> Timeline:
    """The faces of the fields of interlaced frames, timed as ``vidrestore.video.fields_of`` times them.

    ``timeline`` knows the faces of first fields. Second ones are half a frame later: a face is there half way to where
    it is in the next frame, if it is seen there.
    """
    faces: dict[int, tuple[Face, ...]] = {}
    frames = sorted(timeline.faces)
    for pts, following in zip_longest(frames, frames[1:]):
        later = {} if following is None else {face.track_id: face for face in timeline.at(following)}
        faces[2 * pts] = timeline.at(pts)
        faces[2 * pts + second_after] = tuple(
            _half_way(face, later.get(face.track_id, face)) for face in timeline.at(pts)
        )
    return Timeline(faces)


def _half_way(face: Face, later: Face) -> Face:
    landmarks = np.asarray((face.landmarks + later.landmarks) / 2, dtype=np.float32)
    return replace(face, landmarks=landmarks, weight=(face.weight + later.weight) / 2)


def _is_hidden(track: Track, index: int, seen: Mapping[int, Sequence[tuple[int, Floats]]]) -> bool:
    """Whether a face that was not detected stands where another one was: its landmarks would lie on that one."""
    if track.scores[index] > 0:
        return False
    others = [box for track_id, box in seen.get(int(track.pts[index]), ()) if track_id != track.id]
    return bool(others) and float(overlap(track.boxes[index][None], np.stack(others)).max()) > _HIDDEN_OVERLAP


def _faces_of(
    track: Track,
    owners: Mapping[int, Identity],
    seen: Mapping[int, Sequence[tuple[int, Floats]]],
    analysis: Analysis,
    settings: FadingSettings,
) -> list[tuple[int, Face]]:
    identity = owners.get(track.id)
    size = np.array([ramp(eye_distance(p), settings.min_eye_pixels, settings.full_eye_pixels) for p in track.landmarks])
    pose = np.array([_facing(p, settings) for p in track.landmarks])
    seconds = np.asarray(track.pts * float(analysis.video.time_base), dtype=np.float64)
    size, pose = _steadied(size, seconds, settings.fade_seconds), _steadied(pose, seconds, settings.fade_seconds)
    within = (
        np.ones(len(seconds))
        if identity is None
        else _within(identity.span, seconds - analysis.starts_at, settings.fade_seconds)
    )
    seen_here = _seen(track, seconds, settings.fade_seconds)
    weight = size * pose * within * seen_here * _ends(track, analysis.shots, seconds, settings.fade_seconds)
    strength = 1.0 if identity is None else identity.strength * identity.enabled
    rows = []
    for index, pts in enumerate(track.pts.tolist()):
        kept_because = None
        if strength == 0:
            kept_because = DISABLED
        elif within[index] == 0:
            kept_because = OUT_OF_SPAN
        elif _is_hidden(track, index, seen):
            kept_because = HIDDEN
        elif seen_here[index] == 0:
            kept_because = UNSEEN
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


def _facing(landmarks: npt.NDArray[np.float32], settings: FadingSettings) -> float:
    yaw, pitch, _ = head_pose(landmarks)
    turn = max(abs(yaw), abs(pitch))
    return 1 - ramp(turn, settings.full_turn_degrees, settings.max_turn_degrees)


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


def _seen(track: Track, seconds: Weights, fade_seconds: float) -> Weights:
    """Weights that fade, from the last sight of the face and to the next, to zero in the middle of a long gap."""
    sights = seconds[track.scores > 0]
    if len(sights) == 0:
        return np.zeros(len(seconds))
    after = np.searchsorted(sights, seconds).clip(max=len(sights) - 1)
    before = (np.searchsorted(sights, seconds, side="right") - 1).clip(min=0)
    gap = sights[after] - sights[before]
    away = np.minimum(np.abs(seconds - sights[before]), np.abs(sights[after] - seconds))
    faded = np.clip(1 - away / max(fade_seconds, 1e-6), 0.0, 1.0)
    return np.where(gap > _UNSEEN_SECONDS, faded, 1.0)


def _ends(track: Track, shots: Sequence[Shot], seconds: Weights, fade_seconds: float) -> Weights:
    """Weights that rise from the first and fall to the last frame, except where that is a cut, which hides the jump."""
    weight = np.ones(len(seconds))
    if fade_seconds == 0:
        return weight
    step = _step(seconds, fade_seconds)
    if all(track.pts[0] != shot.first for shot in shots):
        weight = np.minimum(weight, (seconds - seconds[0] + step) / (fade_seconds + step))
    if all(track.pts[-1] != shot.last for shot in shots):
        weight = np.minimum(weight, (seconds[-1] - seconds + step) / (fade_seconds + step))
    return np.clip(weight, 0.0, 1.0)


def _within(span: Span, seconds: Weights, fade_seconds: float) -> Weights:
    """Weights that fade inside ``span`` where the track goes on beyond it, and are zero outside."""
    if span.whole:
        return np.ones(len(seconds))
    weight = np.array([float(moment in span) for moment in seconds])
    if fade_seconds == 0:
        return weight
    full = fade_seconds + _step(seconds, fade_seconds)
    earlier = seconds[seconds < span.start]
    if len(earlier):
        weight = np.minimum(weight, (seconds - earlier[-1]) / full)
    later = seconds[seconds >= span.stop] if span.stop is not None else seconds[:0]
    if len(later):
        weight = np.minimum(weight, (later[0] - seconds) / full)
    return np.asarray(np.clip(weight, 0.0, 1.0), dtype=np.float64)


def _step(seconds: Weights, alone: float) -> float:
    """Seconds from frame to frame; ``alone`` where there is but one."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else alone
