"""Pass 2: frames and what is known of their faces, to frames with the faces restored. A chain of generators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vidrestore.alignment import crop_face
from vidrestore.blending import paste
from vidrestore.errors import ComponentError
from vidrestore.types import FaceCrop, Frame, Identity, Image, Restorer, Timeline

Mode = Literal["auto", "generic", "specific"]
NO_REFERENCES = "no references"
"""Why a face stays as it is in mode ``specific``."""
NO_STRENGTH = "strength is 0"
FAILED = "restoration failed"
"""The network gave no usable picture; the only reason that is a fault."""


@dataclass
class Tally:
    """What was done to how many faces; filled in as frames pass."""

    frames: int = 0
    faces_restored: int = 0
    faces_kept: Counter[str] = field(default_factory=Counter)

    @property
    def faces(self) -> int:
        """All faces seen."""
        return self.faces_restored + sum(self.faces_kept.values())


@dataclass(slots=True, eq=False)
class _Waiting:
    """A frame whose faces are being collected into a batch."""

    frame: Frame
    crops: list[FaceCrop]
    restored: list[Image | None] = field(default_factory=list)


def encode_people(restorer: Restorer, identities: Sequence[Identity], mode: Mode) -> dict[int, Any]:
    """The specific memory of each identity that has references and is to be restored with them; built once a run."""
    if mode == "generic":
        return {}
    return {
        identity.id: restorer.encode_references(identity.references)
        for identity in identities
        if identity.references and identity.enabled and identity.strength > 0
    }


def restore_frames(
    frames: Iterable[Frame],
    timeline: Timeline,
    restorer: Restorer,
    memories: Mapping[int, Any],
    mode: Mode,
    batch: int,
    strength: float,
    tally: Tally,
) -> Iterator[Frame]:
    """``frames`` in their order, the faces of ``timeline`` restored in place.

    Args:
        frames: decoded frames.
        timeline: faces by pts; a frame it does not know passes untouched.
        restorer: the network.
        memories: specific memory by identity id.
        mode: ``specific`` leaves faces without a memory as they are.
        batch: faces restored at once, of as many frames as it takes.
        strength: 0..1, multiplies every face's weight.
        tally: counts what is done.
    """
    cropped = (_cut_faces(frame, timeline, restorer, memories, mode, strength, tally) for frame in frames)
    for waiting in _restored(cropped, restorer, memories, batch):
        for crop, image in zip(waiting.crops, waiting.restored, strict=True):
            if image is None:
                tally.faces_kept[FAILED] += 1
                continue
            paste(waiting.frame, crop, image, crop.face.weight * strength)
            tally.faces_restored += 1
        tally.frames += 1
        yield waiting.frame


def _cut_faces(
    frame: Frame,
    timeline: Timeline,
    restorer: Restorer,
    memories: Mapping[int, Any],
    mode: Mode,
    strength: float,
    tally: Tally,
) -> _Waiting:
    """The crops of the faces to restore in ``frame``; the others are counted with the reason."""
    crops = []
    for face in timeline.at(frame.pts):
        reason = face.kept_because
        if reason is None and face.weight * strength == 0:
            reason = NO_STRENGTH
        if reason is None and mode == "specific" and face.identity_id not in memories:
            reason = NO_REFERENCES
        if reason is None:
            crops.append(crop_face(frame.image, face, restorer.crop_size))
        else:
            tally.faces_kept[reason] += 1
    return _Waiting(frame, crops)


def _restored(
    waiting: Iterable[_Waiting], restorer: Restorer, memories: Mapping[int, Any], batch: int
) -> Iterator[_Waiting]:
    """Fill in the restored pictures, collecting ``batch`` faces at a time; frames keep their order."""
    queue: list[_Waiting] = []
    count = 0
    for item in waiting:
        if not queue and not item.crops:
            yield item
            continue
        queue.append(item)
        count += len(item.crops)
        # Frames without faces must not pile up behind a batch that never fills.
        if count >= batch or len(queue) >= 4 * batch:
            yield from _run(queue, restorer, memories, batch)
            queue, count = [], 0
    yield from _run(queue, restorer, memories, batch)


def _run(queue: list[_Waiting], restorer: Restorer, memories: Mapping[int, Any], batch: int) -> list[_Waiting]:
    crops = [crop for item in queue for crop in item.crops]
    images: list[Image | None] = []
    for start in range(0, len(crops), batch):
        part = crops[start : start + batch]
        own = [None if c.face.identity_id is None else memories.get(c.face.identity_id) for c in part]
        images += _checked(restorer, restorer.restore(part, own), len(part))
    results = iter(images)
    for item in queue:
        item.restored = [next(results) for _ in item.crops]
    return queue


def _checked(restorer: Restorer, images: Sequence[Image | None], count: int) -> Sequence[Image | None]:
    """The pictures a restorer gave for ``count`` crops, if they are what its contract promises."""
    wanted = (restorer.crop_size, restorer.crop_size, 3)
    if len(images) != count:
        raise ComponentError(f"the restorer {restorer.name} gave {len(images)} pictures for {count} crops")
    for image in images:
        if image is not None and (image.shape != wanted or image.dtype != np.uint8):
            raise ComponentError(
                f"the restorer {restorer.name} gave a picture {image.dtype}{image.shape}, expected uint8{wanted}"
            )
    return images
