"""Pictures with a divider to move between before and after, and the gallery of people."""

from __future__ import annotations

import re

import cv2
import numpy as np

from vidrestore.report.album import encode
from vidrestore.report.facts import Facts, Pair, Scene, View
from vidrestore.report.markup import clock, count, jpeg, name, text
from vidrestore.types import Identity, Image, Reference

_PORTRAIT = 256
"""Pixels of a reference."""
_SMALL_PORTRAIT = 128
_MANY_REFERENCES = 150
"""References in all above which they are shown small, so that the file stays small."""


def frames(facts: Facts) -> str:
    """The chosen frames."""
    if not facts.scenes:
        return '<p class="empty">There is no frame with a face to show.</p>'
    return f'<div class="frames">{"".join(_frame(facts, scene) for scene in facts.scenes)}</div>'


def faces(facts: Facts) -> str:
    """The chosen faces, each as large as the restorer sees it."""
    if not facts.views:
        return '<p class="empty">There is no face to show.</p>'
    return f'<div class="faces">{"".join(_face(facts, view) for view in facts.views)}</div>'


def _frame(facts: Facts, scene: Scene) -> str:
    shown = "; ".join(_told(facts, view) for view in scene.faces)
    return (
        f"<figure>{_compare(scene.frame, f'frame at {clock(scene.seconds)}')}"
        f"<figcaption><b>{clock(scene.seconds)}</b> {shown}</figcaption></figure>"
    )


def _face(facts: Facts, view: View) -> str:
    label = f"face of {facts.name(view.identity_id)} at {clock(view.seconds)}"
    return (
        f"<figure>{_compare(view.crop, label)}<figcaption><b>{name(facts.name(view.identity_id))}, "
        f"{clock(view.seconds)}</b> eyes {view.eye_pixels:.0f} px apart in the frame; sharpness "
        f"{view.sharpness_before:.2f} before, {view.sharpness_after:.2f} after; {_done(view)}</figcaption></figure>"
    )


def _told(facts: Facts, view: View) -> str:
    return f"{name(facts.name(view.identity_id))}: {_done(view)}"


def _done(view: View) -> str:
    """What was done to a face, in words."""
    if view.factor is not None and view.factor > 0:
        if view.reason is None:
            return "restored"
        return f'<span class="held">held back to {view.factor:.0%}: {text(view.reason)}</span>'
    if view.reason is not None:
        return f'<span class="held">left as it was: {text(view.reason)}</span>'
    return "before and after"


def _compare(pair: Pair, label: str) -> str:
    """Two pictures, the first above the second, cut off at a divider that a slider moves."""
    size, shown = f'width="{pair.width}" height="{pair.height}"', text(label)
    return (
        f'<div class="compare" style="--ratio:{pair.width}/{pair.height};--width:{pair.width}px">'
        f'<div class="side after"><img src="{jpeg(pair.after)}" {size} alt="After: {shown}">'
        "<span>after</span></div>"
        f'<div class="side before"><img src="{jpeg(pair.before)}" {size} alt="Before: {shown}">'
        "<span>before</span></div>"
        f'<input type="range" min="0" max="100" value="50" aria-label="Divider between before and after, {shown}">'
        '<i class="divider"></i></div>'
    )


def people(facts: Facts) -> str:
    """Who is in the video, with the references and why each was chosen."""
    if not facts.analysis.identities:
        return '<p class="empty">Nobody was recognised in more than a glance.</p>'
    total = sum(len(person.references) for person in facts.analysis.identities)
    side = _PORTRAIT if total <= _MANY_REFERENCES else _SMALL_PORTRAIT
    return f'<div class="people">{"".join(_person(facts, person, side) for person in facts.analysis.identities)}</div>'


def _person(facts: Facts, person: Identity, side: int) -> str:
    tracks = [track for track in facts.analysis.tracks if track.id in person.track_ids]
    told = [count(sum(len(track.pts) for track in tracks), "frame"), count(len(tracks), "track")]
    if not person.enabled:
        told.append('<span class="held">not restored: switched off</span>')
    elif person.strength < 1:
        told.append(f"strength {person.strength:.0%}")
    if not person.span.whole:
        stop = "the end" if person.span.stop is None else clock(person.span.stop)
        told.append(f"from {clock(person.span.start)} to {stop}")
    references = "".join(_reference(facts, reference, side) for reference in person.references)
    if not references:
        references = '<p class="empty">No picture of this person was good enough to be a reference.</p>'
    return (
        f'<article class="person" id="person-{person.id}"><h3>{name(person.name)}</h3>'
        f'<p class="quiet">{"; ".join(told)}</p><div class="references">{references}</div></article>'
    )


def _reference(facts: Facts, reference: Reference, side: int) -> str:
    where = source_of(reference, float(facts.analysis.video.time_base))
    return (
        f'<figure><img src="{jpeg(encode(_shrunk(reference.image, side)))}" width="{side}" height="{side}" '
        f'alt="Reference from {text(where)}"><figcaption><b>{text(where)}</b> {text(reference.reason)}'
        "</figcaption></figure>"
    )


def source_of(reference: Reference, seconds_per_tick: float) -> str:
    """Where a reference is from: a time of the video, or a file."""
    ticks = re.fullmatch(r"pts (-?\d+)", reference.source)
    return clock(int(ticks[1]) * seconds_per_tick) if ticks else reference.source


def _shrunk(image: Image, side: int) -> Image:
    if image.shape[0] <= side:
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)
