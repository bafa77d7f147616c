"""What the compact network is built of: gated depthwise blocks, after NAFNet (Chen et al. 2022, arXiv 2204.04676)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedBlock(nn.Module):
    """x + 1x1(gate(depthwise3x3(1x1(norm x)))), then the same without the depthwise convolution; shapes kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, width)
        self.expand1 = nn.Conv2d(width, 2 * width, 1)
        self.spatial = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project1 = nn.Conv2d(width, width, 1)
        self.norm2 = nn.GroupNorm(1, width)
        self.expand2 = nn.Conv2d(width, 2 * width, 1)
        self.project2 = nn.Conv2d(width, width, 1)
        with torch.no_grad():  # a deep stack starts near the identity
            for project in (self.project1, self.project2):
                project.weight.mul_(0.1)
                project.bias.mul_(0.1)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.spatial(self.expand1(self.norm1(x))).chunk(2, dim=1)
        y = a * b
        y = y * self.attention(y.mean(dim=(2, 3), keepdim=True))
        x = x + self.project1(y)
        a, b = self.expand2(self.norm2(x)).chunk(2, dim=1)
        change: Tensor = self.project2(a * b)
        return x + change


def stack(width: int, count: int) -> nn.Sequential:
    """``count`` gated blocks."""
    return nn.Sequential(*(GatedBlock(width) for _ in range(count)))
