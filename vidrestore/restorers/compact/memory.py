"""The specific memory of a person, and how a map of features reads from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Memory:
    """What the references of one person say: keys (E, K) and values (E, C).

    First of each component, then of the whole face at its two sizes.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @staticmethod
    def joined(parts: Sequence[Memory]) -> Memory:
        """One memory with the entries of all ``parts``."""
        return Memory(
            tuple(torch.cat(keys) for keys in zip(*(part.keys for part in parts), strict=True)),
            tuple(torch.cat(values) for values in zip(*(part.values for part in parts), strict=True)),
        )


def entries_of(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, K, h, w) and (N, C, h, w) as entries, one of each position: (N*h*w, K) and (N*h*w, C)."""
    return keys.flatten(2).transpose(1, 2).flatten(0, 1), values.flatten(2).transpose(1, 2).flatten(0, 1)


def read(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax read (B, C, h, w) for a query (B, K, h, w) from entries (E, K) and (E, C)."""
    batch, _, height, width = query.shape
    asked = query.flatten(2).transpose(1, 2)
    found = F.scaled_dot_product_attention(asked, keys.expand(batch, *keys.shape), values.expand(batch, *values.shape))
    return found.transpose(1, 2).reshape(batch, -1, height, width)


def rows_by_memory(memories: Sequence[Memory | None]) -> list[tuple[Memory | None, list[int]]]:
    """The memories, each once, with the rows of a batch that read it: those are read together."""
    groups: dict[int, tuple[Memory | None, list[int]]] = {}
    for row, memory in enumerate(memories):
        groups.setdefault(id(memory), (memory, []))[1].append(row)
    return list(groups.values())


def places(keys: int, side: int) -> Tensor:
    """Random Fourier features (1, K, side, side) of the position in a component (Tancik et al. 2020, arXiv 2006.10739).

    A query that says no more than where it is reads a soft neighbourhood of about two positions, so what a reference
    shows in the same place is read from the first step of a training on.
    """
    steps = (torch.arange(side) + 0.5) / side
    position = torch.stack(torch.meshgrid(steps, steps, indexing="xy")).flatten(1)
    angles = 10.0 * torch.randn(keys // 2, 2) @ position
    return 1.7 * torch.cat((angles.cos(), angles.sin())).reshape(1, keys, side, side)
