"""What was left as it was or held back, why, and when."""

from __future__ import annotations

from collections import defaultdict

from vidrestore.gating import COMPONENTS_MOVED, LESS_LIKE_PERSON, UNLIKE_INPUT
from vidrestore.report.facts import Facts, Stretch
from vidrestore.report.markup import between, count, text
from vidrestore.restoration import FAILED, NO_REFERENCES, NO_STRENGTH
from vidrestore.timeline import DISABLED, HIDDEN, TOO_SMALL, TURNED_AWAY

_MOST_TIMES = 8
_TOUCHING_SECONDS = 0.2
"""Stretches nearer to each other are told as one."""
_MEANING = {
    TOO_SMALL: "The eyes are too few pixels apart to restore a face from (fading.min_eye_pixels).",
    TURNED_AWAY: "Too little of the face is seen (fading.max_turn_degrees).",
    HIDDEN: "Another face was seen in this place.",
    DISABLED: "The person is switched off, or their strength is 0.",
    NO_STRENGTH: "The strength that was asked for is 0 there.",
    NO_REFERENCES: "Only people with references were to be restored (mode specific).",
    FAILED: "The network gave no usable picture. This is a fault: please report it.",
    LESS_LIKE_PERSON: "The restored face was further from the person's references than the footage itself.",
    UNLIKE_INPUT: "The restored face was not the one in the footage.",
    COMPONENTS_MOVED: "Eyes or mouth were not where the footage has them.",
}


def draw(facts: Facts) -> str:
    """A table of reasons, with what they mean and when they held."""
    outcome = facts.outcome
    rows = [
        (reason, number, treatment)
        for counts, treatment in ((outcome.kept, "left as they were"), (outcome.held_back, "restored more weakly"))
        for reason, number in sorted(counts.items(), key=lambda item: -item[1])
    ]
    if not rows:
        return '<p class="empty">No face was left out.</p>'
    lines = "".join(_row(facts, *row) for row in rows)
    return (
        '<div class="wide"><table class="reasons"><thead><tr><th scope="col">Why</th><th scope="col">Faces</th>'
        f'<th scope="col">Which were</th><th scope="col">When</th></tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _row(facts: Facts, reason: str, number: int, treatment: str) -> str:
    times = _merged([stretch for stretch in facts.stretches if stretch.reason == reason])
    shown = ", ".join(between(*time) for time in times[:_MOST_TIMES])
    if len(times) > _MOST_TIMES:
        shown += f" and {count(len(times) - _MOST_TIMES, 'more time')}"
    meaning = _MEANING.get(reason, "")
    share = f"{number / facts.outcome.faces:.1%}" if facts.outcome.faces else ""
    return (
        f'<tr><th scope="row">{text(reason)}<small>{text(meaning)}</small></th>'
        f"<td>{number:,} <small>{share}</small></td><td>{treatment}</td><td>{shown or 'not known'}</td></tr>"
    )


def _merged(stretches: list[Stretch]) -> list[tuple[float, float]]:
    """Times of stretches, those that touch joined."""
    times: list[tuple[float, float]] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.start):
        if times and stretch.start - times[-1][1] <= _TOUCHING_SECONDS:
            times[-1] = (times[-1][0], max(times[-1][1], stretch.stop))
        else:
            times.append((stretch.start, stretch.stop))
    return times


def tracks(facts: Facts) -> str:
    """Every track as a row, for those who do not see the drawing."""
    owners = {track_id: person.id for person in facts.analysis.identities for track_id in person.track_ids}
    base = float(facts.analysis.video.time_base)
    left: dict[int, list[Stretch]] = defaultdict(list)
    for stretch in facts.stretches:
        left[stretch.track_id].append(stretch)
    lines = "".join(
        f'<tr><th scope="row">{track.id}</th><td><bdi>{text(facts.name(owners.get(track.id)))}</bdi></td>'
        f"<td>{between(track.pts[0] * base, track.pts[-1] * base)}</td><td>{len(track.pts):,}</td>"
        f"<td>{text('; '.join(sorted({stretch.reason for stretch in left[track.id]})))}</td></tr>"
        for track in facts.analysis.tracks
    )
    return (
        '<details><summary>All tracks as a table</summary><div class="wide"><table><thead><tr>'
        '<th scope="col">Track</th><th scope="col">Person</th><th scope="col">Time</th><th scope="col">Frames</th>'
        f'<th scope="col">Left or held back</th></tr></thead><tbody>{lines}</tbody></table></div></details>'
    )
