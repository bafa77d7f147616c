"""The embedded restorer: a small U-Net that reads a generic and a specific dictionary per facial component.

The idea is DMDNet's (Li et al. 2022, arXiv 2210.08160): component features of the degraded face query two memories,
one learnt from many people, one made of a person's own references, and a learnt mask blends the two reads. It is
leaner in three ways. The trunk is a U-Net of gated depthwise blocks (after NAFNet, Chen et al. 2022, arXiv
2204.04676) on 4x pixel-unshuffled input. Components are cut and written back at real-valued coordinates, so nothing
jumps between frames. And a memory entry is a position of a component instead of a whole component, so a reference
whose eye is half a pixel off or half closed still lends its lashes. Before all this, a coarse stage restores what the
whole face is like from afar (:mod:`vidrestore.restorers.compact.coarse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrestore.restorers.compact.blocks import stack
from vidrestore.restorers.compact.coarse import CoarseStage
from vidrestore.restorers.compact.memory import Memory, entries_of, places, read, rows_by_memory

SHUFFLE = 4
"""Input pixels per side of one position of the widest feature map."""
COMPONENTS = ("left_eye", "right_eye", "mouth")
_BOX_OF_COMPONENT = (0, 1, 3)
"""Rows of the (4, 4) component boxes; the nose, row 2, is read nowhere, as in DMDNet."""
_COMPONENT_SIDES = (20, 20, 28)


@dataclass(frozen=True, kw_only=True)
class CompactShape:
    """Sizes of the network; stored beside the weights."""

    width: int = 48
    blocks: tuple[int, int, int, int] = (2, 3, 3, 4)
    """Gated blocks on the way down at strides 4, 8 and 16, and at the bottom, stride 32."""
    bottom_width: int = 320
    key_width: int = 32
    entries: int = 256
    coarse_widths: tuple[int, int, int] = (96, 192, 256)
    """Channels of the coarse stage at 32 x 32, 16 x 16 and 8 x 8 positions of the whole face."""
    coarse_blocks: tuple[int, int, int] = (3, 4, 4)
    coarse_key_width: int = 48


class ReferenceEncoder(nn.Module):
    """Component crops (N, 3, 4S, 4S) in [-1, 1] to features (N, C, S, S)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * SHUFFLE**2, width, 3, padding=1)
        self.blocks = stack(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.stem(F.pixel_unshuffle(x, SHUFFLE)))
        return features


class ComponentReader(nn.Module):
    """One component: reads both memories for a cut-out feature (B, C, S, S) and returns what to add to it."""

    window: Tensor

    def __init__(self, side: int, shape: CompactShape) -> None:
        super().__init__()
        width, keys = shape.width, shape.key_width
        self.side = side
        self.encoder = ReferenceEncoder(width)
        self.query = nn.Conv2d(width, keys, 1)
        self.key = nn.Conv2d(width, keys, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.place = nn.Parameter(places(keys, side))
        self.generic_keys = nn.Parameter(torch.randn(shape.entries, keys))
        self.generic_values = nn.Parameter(0.1 * torch.randn(shape.entries, width))
        self.mask = nn.Sequential(
            nn.Conv2d(3 * width, width, 1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.Sigmoid()
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
        )
        last = self.fuse[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        window = torch.hann_window(side + 2, periodic=False)[1:-1].clamp(max=0.5) * 2
        self.register_buffer("window", torch.outer(window, window)[None, None], persistent=False)

    def memorize(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (N*S*S, K) and values (N*S*S, C) of N reference crops of one person."""
        features = self.encoder(crops)
        return entries_of(self.key(features) + self.place, self.value(features))

    def forward(self, feature: Tensor, specific: tuple[Tensor, Tensor] | None) -> Tensor:
        query = self.query(feature) + self.place
        memory = read(query, self.generic_keys, self.generic_values)
        if specific is not None:
            personal = read(query, *specific)
            mask = self.mask(torch.cat((feature, personal, memory), dim=1))
            memory = mask * personal + (1 - mask) * memory
        change: Tensor = self.fuse(torch.cat((feature, memory), dim=1))
        return change * self.window


def cut_boxes(maps: Tensor, boxes: Tensor, side: int, size: int) -> Tensor:
    """Cut boxes (B, 4), in pixels of a ``size`` x ``size`` face, out of maps (B, C, h, w): (B, C, side, side)."""
    steps = (torch.arange(side, device=maps.device, dtype=boxes.dtype) + 0.5) / side
    x = boxes[:, 0:1] + steps * (boxes[:, 2:3] - boxes[:, 0:1])
    y = boxes[:, 1:2] + steps * (boxes[:, 3:4] - boxes[:, 1:2])
    grid = torch.stack((x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)), dim=-1)
    return F.grid_sample(maps, grid * (2 / size) - 1, align_corners=False, padding_mode="border")


def paste_boxes(patches: Tensor, boxes: Tensor, map_side: int, size: int) -> Tensor:
    """The inverse of :func:`cut_boxes`: patches (B, C, s, s) on maps (B, C, map_side, map_side), zero outside."""
    steps = (torch.arange(map_side, device=patches.device, dtype=boxes.dtype) + 0.5) * (size / map_side)
    x = 2 * (steps - boxes[:, 0:1]) / (boxes[:, 2:3] - boxes[:, 0:1]) - 1
    y = 2 * (steps - boxes[:, 1:2]) / (boxes[:, 3:4] - boxes[:, 1:2]) - 1
    grid = torch.stack((x[:, None, :].expand(-1, map_side, -1), y[:, :, None].expand(-1, -1, map_side)), dim=-1)
    return F.grid_sample(patches, grid, align_corners=False, padding_mode="zeros")


class CompactNetwork(nn.Module):
    """Restores faces (B, 3, S, S) in [-1, 1], S a multiple of 32, aligned to the FFHQ template.

    ``boxes`` (B, 4, 4) are the component boxes in pixels, real-valued; ``memories[i]`` is the specific memory of face
    i, or ``None`` for the generic memory alone.
    """

    def __init__(self, shape: CompactShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or CompactShape()
        width = shape.width
        first, second, third, bottom = shape.blocks
        self.coarse = CoarseStage(shape.coarse_widths, shape.coarse_blocks, shape.coarse_key_width)
        self.stem = nn.Conv2d(3 * SHUFFLE**2, width, 3, padding=1)
        self.encode1 = stack(width, first)
        self.down1 = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.encode2 = stack(2 * width, second)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 2, stride=2)
        self.encode3 = stack(4 * width, third)
        self.down3 = nn.Conv2d(4 * width, shape.bottom_width, 2, stride=2)
        self.bottom = stack(shape.bottom_width, bottom)
        self.up3 = nn.Conv2d(shape.bottom_width, 16 * width, 1)
        self.decode3 = stack(4 * width, third)
        self.up2 = nn.Conv2d(4 * width, 8 * width, 1)
        self.decode2 = stack(2 * width, second)
        self.up1 = nn.Conv2d(2 * width, 4 * width, 1)
        self.decode1 = stack(width, first)
        self.readers = nn.ModuleDict(
            {name: ComponentReader(side, shape) for name, side in zip(COMPONENTS, _COMPONENT_SIDES, strict=True)}
        )
        self.refine = stack(width, 2)
        self.head = nn.Conv2d(width, 3 * SHUFFLE**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def component_readers(self) -> list[ComponentReader]:
        """The readers in the order of :data:`COMPONENTS`."""
        return [self.readers[name] for name in COMPONENTS]  # type: ignore[misc]

    def memorize(self, references: Tensor, boxes: Tensor) -> Memory:
        """Specific memory of one person from references (N, 3, S, S) in [-1, 1] and their boxes (N, 4, 4)."""
        keys, values = [], []
        for reader, row in zip(self.component_readers(), _BOX_OF_COMPONENT, strict=True):
            crops = cut_boxes(references, boxes[:, row], SHUFFLE * reader.side, references.shape[-1])
            key, value = reader.memorize(crops)
            keys.append(key)
            values.append(value)
        for key, value in self.coarse.memorize(references):
            keys.append(key)
            values.append(value)
        return Memory(tuple(keys), tuple(values))

    def forward(self, faces: Tensor, boxes: Tensor, memories: Sequence[Memory | None] | None = None) -> Tensor:
        memories = memories or [None] * len(faces)
        faces = faces + self.coarse(faces, memories)
        wide = self.encode1(self.stem(F.pixel_unshuffle(faces, SHUFFLE)))
        half = self.encode2(self.down1(wide))
        quarter = self.encode3(self.down2(half))
        deep = self.bottom(self.down3(quarter))
        quarter = self.decode3(F.pixel_shuffle(self.up3(deep), 2) + quarter)
        half = self.decode2(F.pixel_shuffle(self.up2(quarter), 2) + half)
        wide = self.decode1(F.pixel_shuffle(self.up1(half), 2) + wide)
        wide = wide + self._read_components(wide, boxes, memories, faces.shape[-1])
        return faces + F.pixel_shuffle(self.head(self.refine(wide)), SHUFFLE)

    def _read_components(self, wide: Tensor, boxes: Tensor, memories: Sequence[Memory | None], size: int) -> Tensor:
        """What the memories add to the map ``wide`` (B, C, h, w); faces that share a memory are read together."""
        groups = rows_by_memory(memories)
        added = torch.zeros_like(wide)
        for number, (reader, row) in enumerate(zip(self.component_readers(), _BOX_OF_COMPONENT, strict=True)):
            box = boxes[:, row]
            features = cut_boxes(wide, box, reader.side, size)
            changes = torch.empty_like(features)
            for memory, rows in groups:
                specific = None if memory is None else (memory.keys[number], memory.values[number])
                changes[rows] = reader(features[rows], specific).to(changes.dtype)
            added = added + paste_boxes(changes, box, wide.shape[-1], size)
        return added
