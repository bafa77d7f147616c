"""Which faces were left as they are or restored more weakly, when, and how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from vidrestore.config import Settings
from vidrestore.report.facts import Outcome, Stretch
from vidrestore.restoration import NO_REFERENCES, NO_STRENGTH
from vidrestore.types import Analysis, Face, Timeline

Reasons = Mapping[tuple[int, int], str]
"""By pts and track id: why the gate held a face back."""


def why_kept(face: Face, analysis: Analysis, settings: Settings) -> str | None:
    """Why this face is not to be restored; None where it is."""
    if face.kept_because is not None:
        return face.kept_because
    if face.weight * settings.restoration.strength == 0:
        return NO_STRENGTH
    known = any(person.id == face.identity_id and person.references for person in analysis.identities)
    return NO_REFERENCES if settings.restoration.mode == "specific" and not known else None


def stretches_of(analysis: Analysis, timeline: Timeline, settings: Settings, held: Reasons) -> tuple[Stretch, ...]:
    """Runs of frames in which a track's face was kept or held back for one reason, in order of time."""
    base = float(analysis.video.time_base)
    by_track: dict[int, list[tuple[int, str | None]]] = {}
    for pts in sorted(timeline.faces):
        for face in timeline.at(pts):
            reason = why_kept(face, analysis, settings) or held.get((pts, face.track_id))
            by_track.setdefault(face.track_id, []).append((pts, reason))
    found = []
    for track_id, rows in by_track.items():
        begun = 0
        for index in range(1, len(rows) + 1):
            if index < len(rows) and rows[index][1] == rows[begun][1]:
                continue
            reason = rows[begun][1]
            if reason is not None:
                found.append(Stretch(track_id, rows[begun][0] * base, rows[index - 1][0] * base, index - begun, reason))
            begun = index
    return tuple(sorted(found, key=lambda stretch: (stretch.start, stretch.track_id)))


def expected(analysis: Analysis, timeline: Timeline, settings: Settings) -> Outcome:
    """What a run would begin with: all faces, less those that are to be left; what the gate will say is not known."""
    reasons = Counter(why_kept(face, analysis, settings) for faces in timeline.faces.values() for face in faces)
    restored = reasons.pop(None, 0)
    kept = {str(reason): count for reason, count in reasons.items()}
    return Outcome(restored + sum(kept.values()), restored, {}, kept, analysis.frame_count)
