"""Train the embedding of the ``compact`` pack: who is it, also when small, soft and noisy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrestore.alignment import EMBEDDING_TEMPLATE, cut_aligned, keypoints_of
from vidrestore.geometry import fit_similarity
from vidrestore.training.degradations import degrade
from vidrestore.training.face_networks import EmbeddingNetwork
from vidrestore.training.landmarks import close_up
from vidrestore.training.loop import RunSettings, autocast, train
from vidrestore.training.portraits import LoadedPortrait, list_portraits, load_portraits, mirrored_points
from vidrestore.types import Image

SIDE = EmbeddingNetwork.SIDE
_SCALE, _MARGIN, _TEMPERATURE = 24.0, 0.2, 0.1


def align_for_embedding(portrait: LoadedPortrait, spread: float, rng: np.random.Generator) -> Image:
    """The 112 x 112 crop insightface would make, with keypoints off by ``spread`` pixels in it."""
    target = EMBEDDING_TEMPLATE + spread * rng.standard_normal(EMBEDDING_TEMPLATE.shape)
    matrix = fit_similarity(keypoints_of(portrait.landmarks), target.astype(np.float32))
    return cut_aligned(portrait.image, matrix.astype(np.float32), SIDE)


class PairMaker:
    """Draws two views of one person: two photographs where there are two."""

    def __init__(self, portraits: Sequence[LoadedPortrait]) -> None:
        self._by_person: dict[str, list[LoadedPortrait]] = {}
        for portrait in portraits:
            self._by_person.setdefault(portrait.person, []).append(portrait)
        self.people = sorted(self._by_person)

    def draw(self, person: int, rng: np.random.Generator) -> tuple[Image, Image]:
        """Two degraded 112 x 112 views."""
        photos = self._by_person[self.people[person]]
        first = photos[int(rng.integers(len(photos)))]
        others = [photo for photo in photos if photo is not first]
        second = others[int(rng.integers(len(others)))] if others and rng.random() < 0.8 else first
        return self._view(first, rng), self._view(second, rng)

    def _view(self, portrait: LoadedPortrait, rng: np.random.Generator) -> Image:
        if rng.random() < 0.5:
            points = mirrored_points(portrait.landmarks, portrait.image.shape[1])
            mirror = np.ascontiguousarray(portrait.image[:, ::-1])
            portrait = LoadedPortrait(portrait.person, mirror, points, portrait.box)
        image = align_for_embedding(portrait, 1.2, rng)
        gain = 1 + 0.15 * rng.standard_normal() + 0.05 * rng.standard_normal(3)
        image = np.clip((image - 110.0) * gain + 110 + 14 * rng.standard_normal(), 0, 255).astype(np.uint8)
        return degrade(image, close_up(rng)) if rng.random() < 0.75 else image


class PersonLoss(nn.Module):
    """CosFace (Wang et al. 2018, arXiv 1801.09414) over the training people, and supervised contrast of the batch.

    The contrast is that of Khosla et al. 2020, arXiv 2004.11362.
    """

    def __init__(self, network: EmbeddingNetwork, people: int, device: str) -> None:
        super().__init__()
        self.network, self._device = network, device
        self.centres = nn.Parameter(0.05 * torch.randn(people, 512))

    def forward(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with autocast(self._device):
            raw = self.network(pixels.contiguous(memory_format=torch.channels_last))
        embedding = F.normalize(raw.float())
        cosine = embedding @ F.normalize(self.centres).T
        margin = _MARGIN * F.one_hot(labels, cosine.shape[1])
        person = F.cross_entropy(_SCALE * (cosine - margin), labels, label_smoothing=0.05)
        similar = embedding @ embedding.T / _TEMPERATURE
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        same = (labels[:, None] == labels[None]) & ~itself
        log_share = similar - torch.logsumexp(similar.masked_fill(itself, -1e9), dim=1, keepdim=True)
        contrast = -(log_share * same).sum() / same.sum().clamp(min=1)
        return {"loss": 0.3 * person + contrast, "person": person, "contrast": contrast}


def train_embedding(portraits: Path, settings: RunSettings) -> EmbeddingNetwork:
    """Train on the people of ``portraits``; the checkpoint goes to ``settings.folder``."""
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    maker = PairMaker(load_portraits(list_portraits(portraits, "train"), face_width=110))
    held_out = PairMaker(load_portraits(list_portraits(portraits, "val"), face_width=110))
    network: EmbeddingNetwork = EmbeddingNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = PersonLoss(network, len(maker.people), settings.device).to(settings.device)
    rng = np.random.default_rng(1)
    probe = [view for person in range(len(held_out.people)) for view in held_out.draw(person, rng)]

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        people = rng.permutation(len(maker.people))[: settings.batch // 2]
        views = [view for person in people for view in maker.draw(int(person), rng)]
        return _pixels(views), torch.from_numpy(np.repeat(people, 2))

    def loss_of(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = model(*(part.to(settings.device) for part in batch))
        return losses

    def on_report(_: int) -> dict[str, float]:
        if len(held_out.people) < 2:
            return {}
        network.eval()
        with torch.inference_mode():
            embedding = F.normalize(network(_pixels(probe).to(settings.device))).cpu().numpy()
        network.train()
        similar = embedding @ embedding.T
        labels = np.repeat(np.arange(len(embedding) // 2), 2)
        upper = np.triu_indices(len(labels), 1)
        same = (labels[:, None] == labels[None])[upper]
        return {"val_auc": area_under_curve(similar[upper][same], similar[upper][~same])}

    train(model, draw, loss_of, settings, on_report)
    return network.eval()


def area_under_curve(same: np.ndarray, different: np.ndarray) -> float:
    """Probability that a pair of the same person is more similar than a pair of two (Mann-Whitney U)."""
    order = np.argsort(np.concatenate((same, different)), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    return float((ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2) / (len(same) * len(different)))


def _pixels(images: Sequence[Image]) -> Tensor:
    stacked = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    return torch.from_numpy((stacked - 127.5) / 127.5)
