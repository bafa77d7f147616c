"""Train the embedded restorer, anew or from weights that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidrestore.alignment import TEMPLATE_SIZE
from vidrestore.errors import ConfigError
from vidrestore.metrics import psnr
from vidrestore.restorers.compact import load_network
from vidrestore.restorers.compact.memory import Memory
from vidrestore.restorers.compact.network import CompactNetwork
from vidrestore.training import coarse
from vidrestore.training.degradations import describe
from vidrestore.training.loop import CHECKPOINT, RunSettings, autocast, train
from vidrestore.training.portraits import AlignedPortrait, align_portrait, list_portraits
from vidrestore.training.samples import Sample, SampleMaker, boxes_of
from vidrestore.training.sheets import save_sheet
from vidrestore.types import Image

_PROBE = 24
"""Held-out faces, degraded once, that every report measures, at most."""
_VIEWS = 4
"""How often each held-out face is among them, about."""
_COARSE_SHARE = 0.4
"""Of the minutes, for the coarse stage alone."""


def to_tensor(images: Sequence[Image], device: str) -> Tensor:
    """RGB pictures to (N, 3, H, W) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(images)).to(device)
    return (stacked.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def restoration_loss(restored: Tensor, truth: Tensor, boxes: Tensor) -> Tensor:
    """Logarithm of the squared error of each face, and L1 of level differences to the right and below.

    The first is PSNR itself, so light and heavy damage count alike (as in NAFNet, Chen et al. 2022, arXiv 2204.04676).
    The second keeps edges; eyes and mouth count three times in both.
    """
    weight = torch.ones_like(truth[:, :1])
    for index, face in enumerate(boxes.round().long().clamp(0, truth.shape[-1]).tolist()):
        for row in (0, 1, 3):
            x0, y0, x1, y1 = face[row]
            weight[index, :, y0:y1, x0:x1] = 3.0
    error = restored - truth
    squared = (weight * error.square()).mean(dim=(1, 2, 3))
    across = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    down = (weight[..., 1:, :] * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    return 0.05 * torch.log(squared + 1e-4).mean() + 0.5 * (across + down)


def remember(network: CompactNetwork, samples: Sequence[Sample], device: str) -> list[Memory | None]:
    """The specific memory of each sample."""
    return [
        network.memorize(
            to_tensor(sample.references, device), torch.from_numpy(np.stack(sample.reference_boxes)).to(device)
        )
        if sample.references
        else None
        for sample in samples
    ]


def losses_of(network: CompactNetwork, samples: Sequence[Sample], device: str) -> dict[str, Tensor]:
    """The ``loss`` of a batch, and ``gain_l1``: by how much restoring lowers the mean absolute error."""
    faces = to_tensor([sample.degraded for sample in samples], device)
    truth = to_tensor([sample.truth for sample in samples], device)
    boxes = torch.from_numpy(np.stack([sample.boxes for sample in samples])).to(device)
    with autocast(device):
        restored = network(faces, boxes, remember(network, samples, device))
    loss = restoration_loss(restored.float(), truth, boxes)
    return {"loss": loss, "gain_l1": F.l1_loss(faces, truth) - F.l1_loss(restored.float(), truth)}


@torch.inference_mode()
def condense_people(network: CompactNetwork, people: Sequence[AlignedPortrait], seed: int) -> None:
    """Fill the generic memory with k-means centres of what all of ``people`` would put in a specific one.

    As DFDNet makes its dictionaries (Li et al. 2020, arXiv 2008.00418), but by position: the centres of keys become
    keys, and the mean values of their members values.
    """
    device = next(network.parameters()).device
    memories = []
    for person in people:
        boxes = torch.from_numpy(boxes_of(person.landmarks)[None]).to(device)
        memories.append(network.memorize(to_tensor([person.image], str(device)), boxes))
    memory = Memory.joined(memories)
    # The entries of the whole face, which stand after those of the components, have no generic ones.
    for reader, keys, values in zip(network.component_readers(), memory.keys, memory.values, strict=False):
        entries = len(reader.generic_keys)
        criteria = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
        cv2.setRNGSeed(seed)
        _, labels, centres = cv2.kmeans(keys.cpu().numpy(), entries, None, criteria, 1, cv2.KMEANS_RANDOM_CENTERS)  # type: ignore[call-overload]
        members = torch.from_numpy(labels[:, 0]).to(device)
        counts = torch.bincount(members, minlength=entries).clamp(min=1)[:, None]
        reader.generic_keys.copy_(torch.from_numpy(centres))
        reader.generic_values.copy_(torch.zeros_like(reader.generic_values).index_add_(0, members, values) / counts)


def start_network(initial: Path | None, people: Sequence[AlignedPortrait], seed: int) -> CompactNetwork:
    """A network to train: that of weight file ``initial``, or a new one with a generic memory of ``people``."""
    if initial is not None:
        return load_network(initial)
    torch.manual_seed(seed)
    network = CompactNetwork()
    condense_people(network, people, seed)
    return network


def train_restorer(portraits: Path, settings: RunSettings, initial: Path | None = None) -> CompactNetwork:
    """Train on the sharp portraits of ``portraits``; weights and sample sheets go to ``settings.folder``.

    ``initial`` is a weight file to start from instead of a fresh network, whose coarse stage is trained first by
    itself, on all portraits.

    Raises:
        ConfigError: no portrait is sharp, or none of those held out.
        WeightsError: ``initial`` or the checkpoint is damaged or of another network.
    """
    cv2.setNumThreads(1)
    sharp, others, held_out = _load(portraits)
    maker = SampleMaker(sharp, others)
    network: CompactNetwork = start_network(initial, sharp[:64], settings.seed).to(
        settings.device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    if initial is None:
        settings = _begin_coarse(network, portraits, settings)
    probe_maker, rng = SampleMaker(held_out), np.random.default_rng(1)
    probe = [probe_maker.draw(rng) for _ in range(min(_PROBE, _VIEWS * len(held_out)))]
    train(
        network,
        lambda rng: [maker.draw(rng) for _ in range(settings.batch)],
        lambda samples: losses_of(network, samples, settings.device),
        settings,
        lambda _: _examine(network, probe, settings),
    )
    return network.eval()


def _begin_coarse(network: CompactNetwork, portraits: Path, settings: RunSettings) -> RunSettings:
    """Train the coarse stage, unless the whole network is being trained already; the settings of what is left."""
    minutes = _COARSE_SHARE * settings.minutes
    if not (settings.folder / CHECKPOINT).exists():
        side = coarse.SIZE + coarse.MARGIN
        run = replace(
            settings,
            folder=settings.folder / "coarse",
            minutes=minutes,
            batch=coarse.BATCH_FACTOR * settings.batch,
            learning_rate=coarse.LEARNING_RATE,
            network="coarse stage",
        )
        coarse.train_coarse(network, [align_portrait(p, side) for p in list_portraits(portraits, "train")], run)
    return replace(settings, minutes=settings.minutes - minutes)


def _load(portraits: Path) -> tuple[list[AlignedPortrait], list[AlignedPortrait], list[AlignedPortrait]]:
    """Sharp portraits to learn from, further ones of the same people, and sharp real ones that are held out."""
    listed, kept_back = list_portraits(portraits, "train"), list_portraits(portraits, "val")
    sharp = [p for p in listed if p.hq]
    held_out = [p for p in kept_back if p.hq and not p.synthetic]
    if not sharp or not held_out:
        raise ConfigError(
            f"{portraits} has {len(sharp)} pictures to learn from and {len(held_out)} to hold out in which the face is "
            "large and sharp enough, and restoring needs one of each at least: add pictures, or allow smaller faces "
            "with --min-face-width"
        )
    people = {p.person for p in sharp}
    others = [p for p in listed if not p.hq and p.person in people]
    aligned = [[align_portrait(p, TEMPLATE_SIZE) for p in chosen] for chosen in (sharp, others, held_out)]
    return aligned[0], aligned[1], aligned[2]


def _examine(network: CompactNetwork, probe: Sequence[Sample], settings: RunSettings) -> dict[str, float]:
    """Gains on held-out faces in dB, in all and of references in eyes and mouth; and the sample sheet."""
    restored = restore_samples(network, probe, settings.device)
    gains = [psnr(out, s.truth) - psnr(s.degraded, s.truth) for out, s in zip(restored, probe, strict=True)]
    _draw_sheet(probe[:6], restored[:6], settings.folder / "sheet.jpg")
    figures = {"val_psnr_gain": float(np.mean(gains))}
    own = [(out, s) for out, s in zip(restored, probe, strict=True) if s.references]
    if own:
        alone = restore_samples(network, [replace(s, references=()) for _, s in own], settings.device)
        lift = [component_psnr(out, s) - component_psnr(bare, s) for (out, s), bare in zip(own, alone, strict=True)]
        figures["val_reference_gain"] = float(np.mean(lift))
    return figures


def _draw_sheet(samples: Sequence[Sample], restored: Sequence[Image], path: Path) -> None:
    cells = []
    for sample, picture in zip(samples, restored, strict=True):
        before, after = psnr(sample.degraded, sample.truth), psnr(picture, sample.truth)
        count = len(sample.references)
        cells.append((sample.degraded, f"degraded, {before:.2f} dB: {describe(sample.degradation)}"))
        cells.append((picture, f"restored, {after:.2f} dB ({after - before:+.2f}), references: {count}"))
        cells.append((sample.truth, "truth"))
    save_sheet(cells, 3, path)


def component_psnr(restored: Image, sample: Sample) -> float:
    """PSNR in dB over the pixels of both eyes and the mouth."""
    inside = np.zeros(restored.shape[:2], dtype=bool)
    for row in (0, 1, 3):
        x0, y0, x1, y1 = np.clip(np.rint(sample.boxes[row]), 0, restored.shape[0]).astype(int)
        inside[y0:y1, x0:x1] = True
    return psnr(restored[inside], sample.truth[inside])


def restore_samples(network: CompactNetwork, samples: Sequence[Sample], device: str) -> list[Image]:
    """Restored pictures of samples, one at a time, in float32."""
    pictures = []
    with torch.inference_mode():
        for sample in samples:
            boxes = torch.from_numpy(sample.boxes[None]).to(device)
            out = network(to_tensor([sample.degraded], device), boxes, remember(network, [sample], device))[0]
            levels = ((out + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0)
            pictures.append(levels.to(torch.uint8).cpu().numpy())
    return pictures
