"""Pass 2: frames and what is known of their faces, to frames with the faces restored. A chain of generators."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from vidrestore.alignment import crop_face, cut_aligned
from vidrestore.blending import paste
from vidrestore.cuts import number_of
from vidrestore.errors import ComponentError
from vidrestore.fusion import ALONE, FusionSettings, Moment, fuse, with_neighbours
from vidrestore.gating import MOST_WAITING, Gate, SteadyVerdicts, Verdict
from vidrestore.types import Face, FaceCrop, Frame, Identity, Image, Restorer, Timeline

Mode = Literal["auto", "generic", "specific"]
NO_REFERENCES = "no references"
"""Why a face stays as it is in mode ``specific``."""
NO_STRENGTH = "strength is 0"
FAILED = "restoration failed"
"""The network gave no usable picture; the only reason that is a fault."""


@dataclass
class Tally:
    """What was done to how many faces; a frame is counted when it is handed out, and not before."""

    frames: int = 0
    faces_restored: int = 0
    """Faces that were changed, the weakened ones among them."""
    faces_held_back: Counter[str] = field(default_factory=Counter)
    """Those restored more weakly, by what the gate found; where it left nothing, they are among the kept ones."""
    faces_kept: Counter[str] = field(default_factory=Counter)
    faces_judged: int = 0
    factors: float = 0.0
    """Sum of the gate's factors."""
    on_verdict: Callable[[int, Face, Verdict], None] | None = None
    """Told of each face that was restored or failed, in the frame of this pts, before the frame is handed out."""

    def become(self, other: Tally) -> None:
        """Go on from the counts of ``other``."""
        counts = other.copy()
        counts.on_verdict = self.on_verdict
        vars(self).update(vars(counts))

    def copy(self) -> Tally:
        """The same counts, to keep."""
        return replace(
            self, faces_held_back=Counter(self.faces_held_back), faces_kept=Counter(self.faces_kept), on_verdict=None
        )

    @property
    def gate_factor(self) -> float | None:
        """Mean factor 0..1 of the gate, 1 where it held nothing back; None where no face was judged."""
        return self.factors / self.faces_judged if self.faces_judged else None

    @property
    def faces(self) -> int:
        """All faces seen."""
        return self.faces_restored + sum(self.faces_kept.values())


@dataclass(slots=True, eq=False)
class _Waiting:
    """A frame whose faces are being collected into a batch."""

    frame: Frame
    crops: list[FaceCrop]
    fused: list[FaceCrop]
    """The same with what neighbouring frames know of them: what is restored."""
    kept: list[str] = field(default_factory=list)
    """Why each of the frame's other faces stays as it is."""
    restored: list[Image | None] = field(default_factory=list)
    verdicts: list[Verdict | None] = field(default_factory=list)
    """For each crop, what the gate says; None where it was not asked."""


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
    gate: Gate | None = None,
    fusion: FusionSettings = ALONE,
    *,
    eager_frames: int = 0,
    batch_starts: Sequence[Fraction] = (),
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
        gate: holds back faces that restoring made worse; None restores them as strongly as any.
        fusion: how faces learn from their neighbouring frames.
        eager_frames: as many first frames are judged without waiting for what follows them, so that a preview shows
            something soon; they may be restored a little more strongly or weakly than without.
        batch_starts: rising seconds from which on faces are in another batch than those before. Networks round a little
            differently in a batch of another size: who begins at such a time gets the same bits as who began before.
    """
    moments = with_neighbours(frames, timeline, fusion)
    cut = ((_cut_faces(m, timeline, restorer, memories, mode, strength), m, others) for m, others in moments)
    cropped = (_fused(*item, timeline, fusion) for item in cut)
    restored = _restored(cropped, restorer, memories, batch, batch_starts)
    for waiting in _gated(restored, gate, eager_frames):
        tally.faces_kept.update(waiting.kept)
        for crop, image, verdict in zip(waiting.crops, waiting.restored, waiting.verdicts, strict=True):
            _put_back(waiting.frame, crop, image, verdict, strength, tally)
        tally.frames += 1
        yield waiting.frame


def _put_back(
    frame: Frame, crop: FaceCrop, image: Image | None, verdict: Verdict | None, strength: float, tally: Tally
) -> None:
    """Paste a restored face as strongly as it may count, and count it."""
    if tally.on_verdict is not None:
        tally.on_verdict(frame.pts, crop.face, Verdict(0.0, FAILED) if image is None else verdict or Verdict(1.0))
    if image is None:
        tally.faces_kept[FAILED] += 1
        return
    factor = 1.0
    if verdict is not None:
        factor = verdict.factor
        tally.faces_judged += 1
        tally.factors += factor
        if verdict.reason is not None:
            (tally.faces_held_back if factor > 0 else tally.faces_kept)[verdict.reason] += 1
    if factor > 0:
        paste(frame, crop, image, crop.face.weight * strength * factor)
        tally.faces_restored += 1


def _gated(waiting: Iterable[_Waiting], gate: Gate | None, eager_frames: int) -> Iterator[_Waiting]:
    """Fill in the verdicts; frames with faces wait until what follows is known as far as it weighs on them."""
    if gate is None:
        for item in waiting:
            item.verdicts = [None] * len(item.crops)
            yield item
        return
    steady = SteadyVerdicts(gate.settings.smoothing_seconds)
    queue: deque[_Waiting] = deque()
    for number, item in enumerate(waiting):
        if not queue and not item.crops:
            yield item
            continue
        pairs = zip(item.crops, item.restored, strict=True)
        judged = {crop.face.track_id: gate.judge(crop, image) for crop, image in pairs if image is not None}
        steady.add(item.frame.seconds, judged)
        queue.append(item)
        eager = number < eager_frames
        while queue and (eager or len(queue) > MOST_WAITING or steady.is_settled(queue[0].frame.seconds)):
            yield _with_verdicts(queue.popleft(), steady)
    steady.end()
    for item in queue:
        yield _with_verdicts(item, steady)


def _with_verdicts(item: _Waiting, steady: SteadyVerdicts) -> _Waiting:
    item.verdicts = [steady.at(item.frame.seconds, crop.face.track_id) for crop in item.crops]
    return item


def _cut_faces(
    moment: Moment,
    timeline: Timeline,
    restorer: Restorer,
    memories: Mapping[int, Any],
    mode: Mode,
    strength: float,
) -> _Waiting:
    """The crops of the faces to restore in ``frame``, and the reasons of the others."""
    crops: list[FaceCrop] = []
    kept: list[str] = []
    for face in timeline.at(moment.frame.pts):
        reason = face.kept_because
        if reason is None and face.weight * strength == 0:
            reason = NO_STRENGTH
        if reason is None and mode == "specific" and face.identity_id not in memories:
            reason = NO_REFERENCES
        if reason is None and moment.image is not None:
            crops.append(crop_face(moment.image, face, restorer.crop_size))
        elif reason is not None:
            kept.append(reason)
    return _Waiting(moment.frame, crops, crops, kept)


def _fused(
    waiting: _Waiting, moment: Moment, others: Sequence[Moment], timeline: Timeline, settings: FusionSettings
) -> _Waiting:
    """Fill in the fused crops."""
    waiting.fused = []
    for crop in waiting.crops:
        same = [
            (other.image, face.landmarks)
            for other in others
            for face in timeline.at(other.frame.pts)
            if face.track_id == crop.face.track_id and other.image is not None
        ]
        image = crop.image
        if same and moment.image is not None:
            whole = fuse(moment.image, crop.face.landmarks, same, settings.agreement_levels)
            image = cut_aligned(whole, crop.matrix, image.shape[0])
        waiting.fused.append(replace(crop, image=image))
    return waiting


def _restored(
    waiting: Iterable[_Waiting], restorer: Restorer, memories: Mapping[int, Any], batch: int, starts: Sequence[Fraction]
) -> Iterator[_Waiting]:
    """Fill in the restored pictures, collecting ``batch`` faces at a time; frames keep their order."""
    queue: list[_Waiting] = []
    count = 0
    for item in waiting:
        if queue and starts and number_of(queue[-1].frame, starts) != number_of(item.frame, starts):
            yield from _run(queue, restorer, memories, batch)
            queue, count = [], 0
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
    crops = [crop for item in queue for crop in item.fused]
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
