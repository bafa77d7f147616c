"""An analysis as the user wants it: what ``people.toml`` says, applied to what was found. Nothing is analyzed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vidrestore.appearance import mean_embedding
from vidrestore.errors import VidrestoreError
from vidrestore.people.edits import Edits, Person, is_source
from vidrestore.references import ReferenceSettings, select
from vidrestore.types import Analysis, Candidate, Floats, Identity, Reference

Photograph = Callable[[str, Floats | None], Reference]
"""Makes a reference of the photograph with a path, of the person with an embedding (D,) or None."""


def apply(analysis: Analysis, edits: Edits, settings: ReferenceSettings, photograph: Photograph) -> Analysis:
    """``analysis``, as it was found, with the people of ``edits``.

    A person who has the tracks of a found one, no pins and nothing excluded keeps that one's references; those of
    others are selected from the candidates that ``analysis`` holds.

    Raises:
        ConfigError: a track or a picture that ``edits`` names is not there, or a photograph cannot be used; it names
            the line.
    """
    for person in edits.people:
        _check(person, analysis, edits)
    found = {frozenset(identity.track_ids): identity for identity in analysis.identities}
    people = []
    for number, person in enumerate(edits.people):
        same = found.get(frozenset(person.tracks))
        embedding = same.embedding if same is not None else _embedding_of(person, analysis)
        if same is not None and not person.pin and not person.exclude:
            references = same.references
        else:
            references = _references(person, embedding, analysis, edits, settings, photograph)
        people.append(
            Identity(
                id=number,
                name=person.name,
                track_ids=tuple(sorted(person.tracks)),
                embedding=embedding,
                references=references,
                strength=person.strength,
                enabled=person.enabled,
                span=person.span,
            )
        )
    doubts = (_doubt(identity, analysis) for identity in people)
    return replace(
        analysis, identities=tuple(people), warnings=(*analysis.warnings, *(doubt for doubt in doubts if doubt))
    )


def _doubt(identity: Identity, analysis: Analysis) -> str | None:
    """A sentence where a person is twice in a frame, as nobody can be: the user may have merged two people."""
    of_pts: dict[int, int] = {}
    for track in analysis.tracks:
        if track.id not in identity.track_ids:
            continue
        for pts in track.pts.tolist():
            other = of_pts.setdefault(pts, track.id)
            if other != track.id:
                seconds = float(pts * analysis.video.time_base)
                return (
                    f"tracks {other} and {track.id} of {identity.name!r} are two faces in one frame, at {seconds:.2f} s"
                )
    return None


def source_of(candidate: Candidate) -> str:
    """What a picture is called in ``people.toml``, as it is in ``Reference.source``."""
    return f"pts {candidate.pts}"


def _check(person: Person, analysis: Analysis, edits: Edits) -> None:
    known = {track.id for track in analysis.tracks}
    for number in person.tracks:
        if number not in known:
            there = ", ".join(str(each) for each in sorted(known)) or "none"
            raise edits.complaint(person.line("tracks"), f"there is no track {number}; there are: {there}")
    sources = [source_of(candidate) for candidate in _candidates_of(person, analysis)]
    for key, names in (("pin", person.pin), ("exclude", person.exclude)):
        for name in names:
            if is_source(name) and name not in sources:
                there = ", ".join(sources) or "none"
                message = f"{key} names {name!r}, which is no picture of {person.name!r}; there are: {there}"
                raise edits.complaint(person.line(key), message)


def _candidates_of(person: Person, analysis: Analysis) -> list[Candidate]:
    return [candidate for candidate in analysis.candidates if candidate.track_id in person.tracks]


def _references(
    person: Person,
    embedding: Floats | None,
    analysis: Analysis,
    edits: Edits,
    settings: ReferenceSettings,
    photograph: Photograph,
) -> tuple[Reference, ...]:
    """The pinned references first, then as many selected ones, from other moments, as there is room for."""
    candidates = _candidates_of(person, analysis)
    pinned: list[Reference] = []
    moments: list[float] = []
    for name in person.pin:
        if is_source(name):
            candidate = next(candidate for candidate in candidates if source_of(candidate) == name)
            moments.append(candidate.seconds)
            (reference,) = select([candidate], settings)
        else:
            try:
                reference = photograph(name, embedding)
            except VidrestoreError as error:
                raise edits.complaint(person.line("pin"), f"{name!r} cannot be pinned: {error}") from error
        pinned.append(replace(reference, source=name, reason=f"pinned by the user; {reference.reason}"))
    left = [
        candidate
        for candidate in candidates
        if source_of(candidate) not in (*person.pin, *person.exclude)
        and all(abs(candidate.seconds - moment) >= settings.min_gap_seconds for moment in moments)
    ]
    room = max(0, settings.count - len(pinned))
    return (*pinned, *select(left, settings)[:room])


def _embedding_of(person: Person, analysis: Analysis) -> Floats | None:
    return mean_embedding(track.embedding for track in analysis.tracks if track.id in person.tracks)
