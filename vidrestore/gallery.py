"""Who is on a set of still pictures: an ``Analysis`` in which each picture is a shot of one frame.

The number of a picture is its pts and its second. Nothing is followed from one picture to the next, so every face is a
track of its own; the tracks are grouped into people as those of a video are, and a person who is on several pictures
gets the best of them as references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidrestore.alignment import crop_face, cut_around
from vidrestore.analysis import people_of
from vidrestore.candidates import SURROUNDINGS, CandidatePool
from vidrestore.config import Settings
from vidrestore.errors import ComponentError
from vidrestore.geometry import eye_distance, head_pose
from vidrestore.identities import cluster
from vidrestore.types import (
    Analysis,
    ColorInfo,
    Detection,
    Detector,
    Face,
    Image,
    Progress,
    Shot,
    Span,
    Track,
    VideoInfo,
)

_TIME_BASE = Fraction(1)


def analyze_gallery(
    pictures: Iterable[tuple[int, Image]],
    source: Path,
    detector: Detector,
    settings: Settings,
    on_progress: Callable[[Progress], None],
    total: int,
) -> Analysis:
    """Look at numbered ``pictures`` (H, W, 3), in rising order, of ``source`` and decide who is on them.

    ``total`` is how many there are, for ``on_progress``.
    """
    pool, tracks, shots = CandidatePool(settings.references), list[Track](), list[Shot]()
    width = height = 0
    for number, image in pictures:
        for detection in detector.detect(image):
            if detection.score < settings.tracking.least_score(float(detection.box[3] - detection.box[1])):
                continue
            tracks.append(_track(len(tracks), number, detection, detector, settings))
            _offer(pool, tracks[-1], detection, image)
        shots.append(Shot(number, number))
        height, width = np.maximum((height, width), image.shape[:2]).tolist()
        on_progress(Progress("analyze", len(shots), total, len(tracks)))
    candidates = pool.candidates()
    # There are no further sights of a face to wait for.
    one_sight = replace(settings.identities, min_sights=1, own_person_seconds=0.0)
    cast = cluster(tracks, _TIME_BASE, detector.same_person, one_sight)
    people = people_of(cast.people, tracks, candidates, settings.references)
    return Analysis(
        video=_as_video(source, width, height, len(shots)),
        fingerprint="",
        span=Span(),
        frame_count=len(shots),
        shots=tuple(shots),
        tracks=tuple(tracks),
        # A face learns nothing from itself.
        identities=tuple(p if len(p.track_ids) > 1 else replace(p, references=()) for p in people),
        settings_digest=settings.analysis_digest(),
        faces_model=f"{detector.name} ({detector.licence})",
        candidates=candidates,
        margin=cast.margin,
    )


def _track(track_id: int, number: int, detection: Detection, detector: Detector, settings: Settings) -> Track:
    if detection.landmarks is None:
        raise ComponentError(f"the detector {detector.name} gave a face without landmarks")
    telling = eye_distance(detection.landmarks) >= settings.tracking.min_identity_eye_pixels
    return Track(
        track_id,
        np.array([number]),
        detection.box[None],
        detection.landmarks[None],
        np.array([detection.score]),
        detection.embedding if telling else None,
    )


def _offer(pool: CandidatePool, track: Track, detection: Detection, image: Image) -> None:
    """Offer the face as a reference, if it may become one."""
    landmarks, number = track.landmarks[0], int(track.pts[0])
    eyes, pose = eye_distance(landmarks), head_pose(landmarks)
    if pool.would_accept(track.id, number, eyes, pose):
        pool.offer(
            track.id,
            crop_face(image, Face(track.id, None, landmarks, 1.0)),
            cut_around(image, detection.box, SURROUNDINGS),
            pts=number,
            seconds=float(number),
            eye_distance=eyes,
            pose=pose,
            detection_score=detection.score,
            embedding=detection.embedding,
        )


def _as_video(source: Path, width: int, height: int, count: int) -> VideoInfo:
    """Pictures, told as a video that shows one each second."""
    return VideoInfo(
        path=source,
        width=width,
        height=height,
        rotation=0,
        time_base=_TIME_BASE,
        average_rate=Fraction(1),
        frame_count=count,
        duration=float(count),
        pixel_format="rgb24",
        codec="",
        color=ColorInfo(),
        field_order="progressive",
        sample_aspect_ratio=Fraction(1),
        streams=(),
    )
