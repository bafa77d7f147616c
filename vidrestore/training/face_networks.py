"""The three small networks of the ``compact`` model pack, in the shapes insightface routes by.

Pixels come normalised as insightface does it: RGB, (x - 127.5) / 128 (the embedding: / 127.5).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Anchors per cell; the first is for the smaller faces of its stride."""


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise (MobileNet, Howard et al. 2017, arXiv 1704.04861)."""
    return nn.Sequential(conv(inputs, inputs, 3, stride, groups=inputs), conv(inputs, outputs, 1))


class Residual(nn.Module):
    """x + two separable convolutions; shapes kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(separable(width, width), separable(width, width))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return x + change


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, arXiv 1512.03385; the pooled shortcut: 1812.01187)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(inputs, outputs, 3, stride), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """``blocks`` basic blocks, the first at half the size."""
    return nn.Sequential(BasicBlock(inputs, outputs, 2), *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


class DetectorNetwork(nn.Module):
    """SCRFD-format detector (Guo et al. 2021, arXiv 2105.04714): images (N, 3, H, W), H and W multiples of 32.

    Returns, per stride, maps of score logits (N, 2, h, w), box distances (N, 8, h, w) and keypoint offsets
    (N, 20, h, w) in units of the stride.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, stride=2), BasicBlock(16, 32, 2))
        self.stage8 = stage(32, 64, 2)
        self.stage16 = stage(64, 96, 3)
        self.stage32 = stage(96, 128, 2)
        self.lateral = nn.ModuleList(conv(inputs, width, 1) for inputs in (64, 96, 128))
        self.smooth = nn.ModuleList(conv(width, width) for _ in range(2))
        self.tower = nn.Sequential(conv(width, 64), conv(64, 64))
        self.score = nn.ModuleList(nn.Conv2d(64, ANCHORS, 3, padding=1) for _ in STRIDES)
        self.box = nn.ModuleList(nn.Conv2d(64, 4 * ANCHORS, 3, padding=1) for _ in STRIDES)
        self.keypoints = nn.ModuleList(nn.Conv2d(64, 10 * ANCHORS, 3, padding=1) for _ in STRIDES)
        for score, box in zip(self.score, self.box, strict=True):
            nn.init.constant_(score.bias, -4.6)  # type: ignore[arg-type]
            nn.init.constant_(box.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        p8 = self.stage8(self.stem(x))
        p16 = self.stage16(p8)
        p32 = self.stage32(p16)
        p8, p16, p32 = (lateral(p) for lateral, p in zip(self.lateral, (p8, p16, p32), strict=True))
        p16 = self.smooth[1](p16 + F.interpolate(p32, scale_factor=2.0))
        p8 = self.smooth[0](p8 + F.interpolate(p16, scale_factor=2.0))
        outputs = []
        for level, p in enumerate((p8, p16, p32)):
            tower = self.tower(p)
            distances = F.softplus(self.box[level](tower))
            outputs.append((self.score[level](tower), distances, self.keypoints[level](tower)))
        return outputs


class DetectorExport(nn.Module):
    """The detector with insightface's nine rank-2 outputs, scores through a sigmoid, anchors innermost."""

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = self.network(x)

        def rows(maps: Tensor, columns: int) -> Tensor:
            return maps.permute(0, 2, 3, 1).reshape(-1, columns)

        scores = [rows(torch.sigmoid(score), 1) for score, _, _ in levels]
        boxes = [rows(box, 4) for _, box, _ in levels]
        keypoints = [rows(points, 10) for _, _, points in levels]
        return (*scores, *boxes, *keypoints)


class LandmarkNetwork(nn.Module):
    """68 landmarks and a face-or-not logit from (N, 3, 192, 192): (N, 136) in -1..1 of the crop, and (N,)."""

    SIDE = 192

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        stages = (stage(inputs, outputs, 2) for inputs, outputs in pairwise(widths))
        self.trunk = nn.Sequential(conv(3, widths[0], stride=2), *stages)
        self.squeeze = conv(widths[-1], 48, 1)
        self.hidden = nn.Sequential(nn.Linear(48 * 36, 256), nn.ReLU(inplace=True))
        self.points = nn.Linear(256, 136)
        self.face = nn.Linear(256, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(self.squeeze(self.trunk(x)).flatten(1))
        return self.points(hidden), self.face(hidden)[:, 0]


class LandmarkExport(nn.Module):
    """Landmarks in insightface's form (N, 136), which has no room for a face-or-not figure.

    So the figure is written into the points: where the network is less than half sure of a face, they shrink toward
    the centre of the crop in proportion. The spread of the points tells a reader both. The network counts pixels from
    their edges, insightface from their centres, hence the half pixel.
    """

    def __init__(self, network: LandmarkNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        points: Tensor
        points, face = self.network(x)
        sure = torch.clamp(2 * torch.sigmoid(face), max=1.0)
        return points * sure[:, None] - 0.5 / (LandmarkNetwork.SIDE / 2)


class EmbeddingNetwork(nn.Module):
    """A 512-number description of who is in an aligned face (N, 3, 112, 112)."""

    SIDE = 112

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        stages = [conv(3, widths[0], stride=2)]
        for inputs, outputs in pairwise(widths):
            stages += [separable(inputs, outputs, 2), Residual(outputs), Residual(outputs)]  # type: ignore[list-item]
        self.trunk = nn.Sequential(*stages)
        self.spread = nn.Sequential(
            nn.Conv2d(widths[-1], 256, 7, groups=64, bias=False), nn.BatchNorm2d(256), nn.Flatten()
        )
        self.project = nn.Sequential(nn.Linear(256, 512, bias=False), nn.BatchNorm1d(512, affine=False))

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.project(self.spread(self.trunk(x)))
        return embedding
