"""The user's own photographs as references: faces found in them, aligned, and given to the people of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vidrestore.alignment import TEMPLATE_SIZE, crop_face
from vidrestore.appearance import mean_embedding
from vidrestore.errors import PictureError
from vidrestore.face_quality import exposure, expression, sharpness
from vidrestore.geometry import eye_distance
from vidrestore.image_files import image_files, read_still
from vidrestore.landmark_files import read_landmarks
from vidrestore.list_files import aligned_reference
from vidrestore.types import Analysis, Detection, Detector, Face, Floats, Identity, Image, Reference

SAME_PERSON: Final = 0.45
"""Cosine from which a photograph is of a person: of the compact pack on portraits it never saw, 99 of 100 pairs of two
people are below, and 90 of 100 pairs of one person, most taken years apart, above."""
CLEAR_MARGIN: Final = 0.05
"""How much more alike than the next person a photographed one must be."""
_SURE: Final = 0.5
"""Detection score below which a thing in a photograph is no face."""
_MIN_EYE_DISTANCE: Final = 20.0
"""Pixels between the eyes below which a photograph shows too little of a face."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotographedPerson:
    """What a folder of photographs knows of one person."""

    references: tuple[Reference, ...]
    """Best first; at least one."""
    embedding: Floats | None
    """(D,), normalised; None where the model pack has no network for it."""
    notes: tuple[str, ...] = ()
    """Photographs that were left out, and why, for people to read."""


@dataclass(frozen=True, slots=True, eq=False)
class _Portrait:
    """A face in a photograph."""

    reference: Reference
    embedding: Floats | None


def reference_from_photo(path: Path, detector: Detector, embedding: Floats | None) -> Reference:
    """The face of the person with ``embedding`` ``(D,)`` in a photograph, aligned; the largest face where it is None.

    Raises:
        PictureError: the file cannot be read as a picture, or there is no face in it that is large enough, or nobody
            like the person.
    """
    faces = _portraits_in(path, detector)
    if embedding is None:
        return faces[0].reference
    best = max(faces, key=lambda face: _cosine(face.embedding, embedding))
    similarity = _cosine(best.embedding, embedding)
    if best.embedding is not None and similarity < SAME_PERSON:
        raise PictureError(
            f"{path} does not show this person: the most similar face in it has a similarity of {similarity:.2f}, "
            f"needed are {SAME_PERSON:.2f}; choose another photograph"
        )
    return best.reference


def read_people(folder: Path, detector: Detector) -> dict[str, PhotographedPerson]:
    """The people of ``folder``, which has a folder of photographs for each, by the names of those folders.

    Photographs may be of any size, with several faces; the face that recurs is the person. A picture with a text of the
    same name (``ada.txt`` or ``ada.png.txt``, beside it or in a folder beside it) has the 68 landmarks of
    the text, 136 numbers, and is taken as it is where it is 512 x 512: aligned.

    Raises:
        PictureError: there is no such folder, there is no folder in it, photographs lie loose in it, or a person has no
            photograph that can be used.
    """
    if not folder.is_dir():
        raise PictureError(
            f"there is no folder {folder}; references are a folder with a folder of photographs a person"
        )
    loose = image_files(folder)
    if loose:
        raise PictureError(
            f"{loose[0].name} lies loose in {folder}, so it is not known who it shows: make a folder for each person "
            f"there and move {'it' if len(loose) == 1 else f'the {len(loose)} photographs'} into those"
        )
    people = _folders_in(folder)
    if not people:
        raise PictureError(f"there are no folders in {folder}: make one for each person and put photographs into it")
    return {person.name: _read_person(person, detector) for person in people}


def with_photographs(
    analysis: Analysis, people: Mapping[str, PhotographedPerson], count: int
) -> tuple[Analysis, list[str]]:
    """``analysis`` with the photographs of ``people`` as references, and what to tell the user.

    A photographed person is the one of that name, whatever its case; else the one who looks alike, if nobody else of
    the video is nearly as alike. Photographs come first, pictures of the video follow up to ``count``.
    """
    notes = [note for person in people.values() for note in person.notes]
    found, complaints = _matches(analysis.identities, people)
    identities = []
    for identity in analysis.identities:
        name = found.get(identity.id)
        own = () if name is None else people[name].references
        references = (*own, *identity.references)[:count] if own else identity.references
        identities.append(replace(identity, references=references))
    return replace(analysis, identities=tuple(identities)), notes + complaints


def _matches(
    identities: Sequence[Identity], people: Mapping[str, PhotographedPerson]
) -> tuple[dict[int, str], list[str]]:
    """Names of the photographed people by the ids of their identities, and a complaint for each who is nobody."""
    by_name = {identity.name.casefold(): identity.id for identity in identities}
    found = {by_name[name.casefold()]: name for name in people if name.casefold() in by_name}
    complaints = []
    for name, person in people.items():
        if name in found.values():
            continue
        ranked = sorted(
            ((_cosine(identity.embedding, person.embedding), -identity.id) for identity in identities), reverse=True
        )
        best, number = ranked[0] if ranked else (-1.0, 0)
        second = ranked[1][0] if len(ranked) > 1 else -1.0
        if best >= SAME_PERSON and best - second >= CLEAR_MARGIN and -number not in found:
            found[-number] = name
        else:
            complaints.append(_complaint(name, ranked, {identity.id: identity.name for identity in identities}))
    return found, complaints


def _complaint(name: str, ranked: Sequence[tuple[float, int]], names: Mapping[int, str]) -> str:
    """Why the photographs of ``name`` are used for nobody, given similarities and negative ids of all."""
    advice = "name the folder as the person is named in the analysis to use them"
    if not ranked:
        return f"the photographs of {name} are not used: there is nobody in the video"
    alike = " and ".join(f"{names[-number]} ({similarity:.2f})" for similarity, number in ranked[:2])
    if ranked[0][0] < SAME_PERSON:
        return (
            f"the photographs of {name} look like nobody in the video and are not used: most alike are {alike}, needed "
            f"are {SAME_PERSON:.2f}; {advice}"
        )
    return f"it is not clear of whom the photographs of {name} are, so they are not used: alike are {alike}; {advice}"


def _read_person(folder: Path, detector: Detector) -> PhotographedPerson:
    portraits: list[list[_Portrait]] = []
    notes: list[str] = []
    pictures = [picture for place in (folder, *_folders_in(folder)) for picture in image_files(place)]
    for picture in pictures:
        try:
            landmarks = _landmarks_beside(picture, folder)
            if landmarks is None:
                portraits.append(_portraits_in(picture, detector))
            else:
                portraits.append([_aligned_portrait(picture, landmarks, detector)])
        except PictureError as error:
            notes.append(f"left out of the photographs of {folder.name}: {error}")
    if not portraits:
        reasons = "; ".join(notes) or "the folder holds no pictures"
        raise PictureError(f"there is no photograph of {folder.name} that can be used: {reasons}")
    own, strangers = _recurring(portraits, folder)
    references = sorted((portrait.reference for portrait in own), key=lambda reference: -reference.score)
    return PhotographedPerson(
        tuple(references), mean_embedding([portrait.embedding for portrait in own]), (*notes, *strangers)
    )


def _recurring(photographs: Sequence[Sequence[_Portrait]], folder: Path) -> tuple[list[_Portrait], list[str]]:
    """The one face in each photograph that all have in common, and a note for each photograph without it.

    Raises:
        PictureError: a single photograph shows several faces.
    """
    if len(photographs) == 1 and len(photographs[0]) > 1:
        raise PictureError(
            f"the only photograph of {folder.name} shows {len(photographs[0])} faces, so it is not known which one is "
            f"meant: add another photograph of {folder.name}, or cut the others off"
        )

    def support(face: _Portrait) -> float:
        return sum(max(_cosine(face.embedding, other.embedding) for other in faces) for faces in photographs)

    centre = max((face for faces in photographs for face in faces), key=support)
    own, notes = [], []
    for faces in photographs:
        best = max(faces, key=lambda face: _cosine(face.embedding, centre.embedding))
        if best.embedding is None or _cosine(best.embedding, centre.embedding) >= SAME_PERSON:
            own.append(best)
        else:
            notes.append(
                f"left out of the photographs of {folder.name}: {best.reference.source} shows somebody else than the "
                f"others (similarity {_cosine(best.embedding, centre.embedding):.2f}, needed {SAME_PERSON:.2f})"
            )
    return own, notes


def _portraits_in(path: Path, detector: Detector) -> list[_Portrait]:
    """The faces of a photograph, the largest first; raises ``PictureError`` where there is none to use."""
    image = read_still(path).image
    faces = [(_eyes(face), face) for face in detector.detect(image) if face.score >= _SURE]
    faces.sort(key=lambda pair: -pair[0])
    if not faces:
        raise PictureError(f"no face was found in {path}; choose a photograph where the face is larger or turned less")
    if faces[0][0] < _MIN_EYE_DISTANCE:
        raise PictureError(
            f"the face in {path} is too small: its eyes are {faces[0][0]:.0f} pixels apart, needed are "
            f"{_MIN_EYE_DISTANCE:.0f}; choose a larger photograph"
        )
    return [_portrait(path, image, face) for eyes, face in faces if eyes >= _MIN_EYE_DISTANCE]


def _eyes(face: Detection) -> float:
    """Pixels between the eyes, 0 where they are not known."""
    return 0.0 if face.landmarks is None else eye_distance(face.landmarks)


def _portrait(path: Path, image: Image, face: Detection) -> _Portrait:
    assert face.landmarks is not None
    crop = crop_face(image, Face(0, None, face.landmarks, 1.0), TEMPLATE_SIZE)
    return _Portrait(_reference(path, crop.image, crop.landmarks, _eyes(face)), face.embedding)


def _aligned_portrait(path: Path, landmarks: Floats, detector: Detector) -> _Portrait:
    """A picture whose landmarks are known, aligned already or by them."""
    aligned = aligned_reference(path, landmarks)
    reference = _reference(path, aligned.image, aligned.landmarks, eye_distance(aligned.landmarks))
    return _Portrait(reference, detector.embed(reference.image, reference.landmarks))


def _reference(path: Path, aligned: Image, landmarks: Floats, eyes: float) -> Reference:
    sharp = sharpness(aligned)
    return Reference(
        image=aligned,
        landmarks=landmarks,
        source=str(path),
        sharpness=sharp,
        score=sharp * exposure(aligned) * expression(landmarks),
        reason=f"the user's photograph {path.name}, sharp ({sharp:.2f}), eyes {eyes:.0f} px apart",
    )


def _landmarks_beside(picture: Path, folder: Path) -> Floats | None:
    """Landmarks (68, 2) in the text that belongs to ``picture``, from the person's folder; None without one."""
    names = (picture.name + ".txt", picture.stem + ".txt")
    texts = [place / name for name in names for place in (picture.parent, folder, *_folders_in(folder))]
    text = next((candidate for candidate in texts if candidate.is_file()), None)
    return None if text is None else read_landmarks(text)


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _cosine(one: Floats | None, other: Floats | None) -> float:
    """Cosine of two embeddings; -1 where one is missing."""
    return -1.0 if one is None or other is None else float(one @ other)
