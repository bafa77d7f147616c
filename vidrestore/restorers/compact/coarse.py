"""The coarse stage: what a face is like from afar, before its details are restored.

Heavy damage leaves no more of a face than 64 x 64 pixels hold, and what it takes away there is most of the error. A
small picture shows the whole face at once, and faces are aligned, so learnt maps that are added at two sizes tell this
stage where in a face it is. It reads the person's references as they look from afar, too, position by position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrestore.restorers.compact.blocks import stack
from vidrestore.restorers.compact.memory import Memory, entries_of, places, read, rows_by_memory

SIDE = 64
"""Pixels per side of the small picture."""
_SHUFFLE = 2


class WholeFaceReader(nn.Module):
    """Adds what the references show to features (B, C, S, S) of the whole face."""

    def __init__(self, width: int, keys: int, side: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, keys, 1)
        self.key = nn.Conv2d(width, keys, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.place = nn.Parameter(places(keys, side))
        self.fuse = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
        last = self.fuse[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def memorize(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (N*S*S, K) and values (N*S*S, C) of features (N, C, S, S) of N references of one person."""
        return entries_of(self.key(features) + self.place, self.value(features))

    def forward(self, features: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        found = read(self.query(features) + self.place, keys, values)
        change: Tensor = self.fuse(torch.cat((features, found), dim=1))
        return features + change


class CoarseStage(nn.Module):
    """What to add to faces (B, 3, S, S) in [-1, 1], seen at 64 x 64 pixels: a U-Net of three sizes.

    Args:
        widths: channels at 32 x 32, 16 x 16 and 8 x 8.
        blocks: gated blocks at each of them.
        key_width: channels of the keys of references.
    """

    def __init__(self, widths: tuple[int, int, int], blocks: tuple[int, int, int], key_width: int) -> None:
        super().__init__()
        wide, half, deep = widths
        side = SIDE // _SHUFFLE
        self.stem = nn.Conv2d(3 * _SHUFFLE**2, wide, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, wide, side, side))
        self.encode1 = stack(wide, blocks[0])
        self.down1 = nn.Conv2d(wide, half, 2, stride=2)
        self.encode2 = stack(half, blocks[1])
        self.down2 = nn.Conv2d(half, deep, 2, stride=2)
        self.deep_place = nn.Parameter(torch.zeros(1, deep, side // 4, side // 4))
        self.bottom = stack(deep, blocks[2])
        self.up2 = nn.Conv2d(deep, 4 * half, 1)
        self.decode2 = stack(half, blocks[1])
        self.up1 = nn.Conv2d(half, 4 * wide, 1)
        self.decode1 = stack(wide, blocks[0] + 1)
        self.head = nn.Conv2d(wide, 3 * _SHUFFLE**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.reference_stem = nn.Conv2d(3 * _SHUFFLE**2, wide, 3, padding=1)
        self.reference1 = stack(wide, 2)
        self.reference_down = nn.Conv2d(wide, half, 2, stride=2)
        self.reference2 = stack(half, 2)
        self.reader1 = WholeFaceReader(wide, key_width, side)
        self.reader2 = WholeFaceReader(half, key_width, side // 2)

    def memorize(self, references: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Keys and values of references (N, 3, S, S) of one person at 32 x 32, and at 16 x 16."""
        wide = self.reference1(self.reference_stem(F.pixel_unshuffle(from_afar(references), _SHUFFLE)))
        half = self.reference2(self.reference_down(wide))
        return self.reader1.memorize(wide), self.reader2.memorize(half)

    def forward(self, faces: Tensor, memories: Sequence[Memory | None]) -> Tensor:
        change = self.small(from_afar(faces), memories)
        return F.interpolate(change, size=faces.shape[-2:], mode="bicubic", align_corners=False)

    def small(self, faces: Tensor, memories: Sequence[Memory | None]) -> Tensor:
        """What to add to faces (B, 3, 64, 64)."""
        wide = self.encode1(self.stem(F.pixel_unshuffle(faces, _SHUFFLE)) + self.place)
        half = self.encode2(self.down1(wide))
        deep = self.bottom(self.down2(half) + self.deep_place)
        half = _remembered(self.reader2, F.pixel_shuffle(self.up2(deep), 2) + half, memories, -1)
        half = self.decode2(half)
        wide = _remembered(self.reader1, F.pixel_shuffle(self.up1(half), 2) + wide, memories, -2)
        return F.pixel_shuffle(self.head(self.decode1(wide)), _SHUFFLE)


def from_afar(faces: Tensor) -> Tensor:
    """Faces (B, 3, S, S) as the stage sees them: (B, 3, 64, 64), each pixel the mean of those it covers."""
    return F.interpolate(faces, size=(SIDE, SIDE), mode="area")


def _remembered(reader: WholeFaceReader, features: Tensor, memories: Sequence[Memory | None], place: int) -> Tensor:
    """``features`` with what each face's memory adds, whose entries stand at ``place``; without one, as they are."""
    added = features.clone()
    for memory, rows in rows_by_memory(memories):
        if memory is not None:
            added[rows] = reader(features[rows], memory.keys[place], memory.values[place]).to(added.dtype)
    return added
