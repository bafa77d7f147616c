"""DMDNet, the network: a degraded face, a generic memory of faces and, where known, a memory of the person.

Source: Li et al., "Learning Dual Memory Dictionaries for Blind Face Restoration", IEEE TPAMI 2022, arXiv 2210.08160;
written anew from a description. Module and buffer names are those of the published checkpoint.

Everything works on batches. Components are cut out and written back by small interpolation matrices, so boxes may
live on the GPU, and no face costs a round trip to the CPU. ``B`` is faces, ``N`` entries of a memory, ``C`` channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrestore.restorers.components import FACE_SIZE
from vidrestore.restorers.dmdnet.boxes import clamp_boxes

SCALES = (256, 128, 64)
_SLOPE = 0.2
_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Slot:
    """One component at one scale: a place where the network reads its memories."""

    component: str
    """``LE`` left eye, ``RE`` right eye, ``MO`` mouth."""
    row: int
    """The component's row among the four boxes of a face."""
    scale: int
    """Side of the feature map it is cut from."""
    size: int
    """Side of the square it is resized to."""

    @property
    def name(self) -> str:
        return f"{self.component}_{self.scale}"


_EYE_SIZES = {256: 40, 128: 20, 64: 10}
_MOUTH_SIZES = {256: 55, 128: 27, 64: 13}
_COMPONENTS = (("LE", 0, _EYE_SIZES), ("RE", 1, _EYE_SIZES), ("MO", 3, _MOUTH_SIZES))
SLOTS = tuple(Slot(name, row, scale, sizes[scale]) for scale in SCALES for name, row, sizes in _COMPONENTS)
"""In the order of writing: where boxes overlap, a later one covers an earlier one."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the network knows of one person from ``N`` references; by :attr:`Slot.name`."""

    keys: Mapping[str, Tensor]
    """(N, C // 4, size, size)."""
    values: Mapping[str, Tensor]
    """(N, C, size, size)."""

    @property
    def entries(self) -> int:
        return len(self.keys[SLOTS[0].name])

    @staticmethod
    def joined(memories: Sequence[Memory]) -> Memory:
        """One memory with the entries of all of ``memories``, at least one, in order."""
        if len(memories) == 1:
            return memories[0]
        return Memory(
            {slot.name: torch.cat([one.keys[slot.name] for one in memories]) for slot in SLOTS},
            {slot.name: torch.cat([one.values[slot.name] for one in memories]) for slot in SLOTS},
        )


class DMDNet(nn.Module):
    """Restores faces; ``width`` is the channels of the first scale, ``entries`` those of the generic memory.

    ``load_state_dict`` takes plain convolution weights and the published form with spectral norms alike; norms are
    folded into plain weights while loading, since their vectors stay fixed at inference.
    """

    def __init__(self, width: int = 64, entries: int = 128) -> None:
        super().__init__()
        self.E_lq = Encoder(width)
        self.E_hq = Encoder(width)
        for slot in SLOTS:
            self._add_slot(slot, _channels(width, slot.scale), entries)
        self.MSDilate = DilatedContext(4 * width)
        self.up1 = StyledUpsample(4 * width, 2 * width)
        self.up2 = StyledUpsample(2 * width, width)
        self.up3 = StyledUpsample(width, width)
        self.up4 = nn.Sequential(
            _conv(width, width), nn.LeakyReLU(_SLOPE), Residual(width), Residual(width), _conv(width, 3), nn.Tanh()
        )
        self.register_load_state_dict_pre_hook(_fold_before_loading)  # type: ignore[no-untyped-call]

    def _add_slot(self, slot: Slot, channels: int, entries: int) -> None:
        self.add_module(f"{slot.name}_KV", KeyValue(channels))
        self.add_module(f"{slot.name}_Attention", _pair(channels, channels))
        self.add_module(f"{slot.name}_Mask", BlendMask(channels))
        square = (slot.size, slot.size)
        self.register_buffer(f"{slot.name.lower()}_mem_key", torch.zeros(entries, channels // 4, *square))
        self.register_buffer(f"{slot.name.lower()}_mem_value", torch.zeros(entries, channels, *square))

    def memorize(self, references: Tensor, boxes: Tensor) -> Memory:
        """The memory of one person.

        ``references`` ``(N, 3, 512, 512)`` in [-1, 1], at least one; ``boxes`` ``(N, 4, 4)`` as in :meth:`forward`.
        Raises ``ValueError`` for other shapes.
        """
        boxes = _checked_boxes(references, boxes)
        maps = self.E_hq(references)
        keys, values = {}, {}
        for slot in SLOTS:
            feature = cut(maps[slot.scale], boxes[:, slot.row], slot.size)
            keys[slot.name], values[slot.name] = self.get_submodule(f"{slot.name}_KV")(feature)
        return Memory(keys, values)

    def forward(self, faces: Tensor, boxes: Tensor, memory: Memory | Sequence[Memory | None] | None = None) -> Tensor:
        """Restored faces ``(B, 3, 512, 512)`` in [-1, 1].

        ``faces`` ``(B, 3, 512, 512)`` RGB in [-1, 1]; ``boxes`` ``(B, 4, 4)`` rows of ``x0, y0, x1, y1`` in pixels of
        the face, ends exclusive, of left eye, right eye, nose (not read) and mouth, clamped where they leave the face.
        ``memory`` is one for all faces, or one or None for each; None reads the generic memory alone.
        Raises ``ValueError`` for other shapes.
        """
        boxes = _checked_boxes(faces, boxes)
        shelf = _shelve(memory, faces)
        maps = self.E_lq(faces)
        styles = dict(maps)
        for slot in SLOTS:
            box = boxes[:, slot.row]
            feature = cut(maps[slot.scale], box, slot.size)
            styles[slot.scale] = paste(styles[slot.scale], self._fuse(slot, feature, shelf), box)
        up128 = self.up1(self.MSDilate(maps[64]), styles[64])
        up256 = self.up2(up128, styles[128])
        restored: Tensor = self.up4(self.up3(up256, styles[256]))
        return restored

    def _fuse(self, slot: Slot, feature: Tensor, shelf: _Shelf | None) -> Tensor:
        """Component feature ``(B, C, size, size)`` with what the memories add to it."""
        query = self.E_lq.query(slot, feature)
        read = _read(query, self._generic(slot, "key"), self._generic(slot, "value"))
        if shelf is not None:
            specific = shelf.read(slot, query)
            mask = self.get_submodule(f"{slot.name}_Mask")(feature, specific, read)
            read = torch.where(shelf.known, mask * specific + (1 - mask) * read, read)
        read = _with_statistics_of(feature, read)
        attention: Tensor = self.get_submodule(f"{slot.name}_Attention")(read - feature)
        return attention * read + feature

    def _generic(self, slot: Slot, part: str) -> Tensor:
        return self.get_buffer(f"{slot.name.lower()}_mem_{part}")


class Encoder(nn.Module):
    """Face ``(B, 3, 512, 512)`` to feature maps ``(B, C, scale, scale)`` by scale; and component queries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _pair(3, width, stride=2)
        self.res1 = DilatedResidual(width, 5, 3)
        self.conv2 = _pair(width, width)
        self.res2 = DilatedResidual(width, 5, 3)
        self.conv3 = _pair(width, 2 * width, stride=2)
        self.res3 = DilatedResidual(2 * width, 3, 1)
        self.conv4 = _pair(2 * width, 2 * width)
        self.res4 = DilatedResidual(2 * width, 3, 1)
        self.conv5 = _pair(2 * width, 4 * width, stride=2)
        self.res5 = DilatedResidual(4 * width, 1, 1)
        self.conv6 = _pair(4 * width, 4 * width)
        self.res6 = DilatedResidual(4 * width, 1, 1)
        for slot in SLOTS:
            self.add_module(f"{slot.name}_Q", Query(_channels(width, slot.scale)))

    def forward(self, faces: Tensor) -> dict[int, Tensor]:
        f256 = self.res2(self.conv2(self.res1(self.conv1(faces))))
        f128 = self.res4(self.conv4(self.res3(self.conv3(f256))))
        f64 = self.res6(self.conv6(self.res5(self.conv5(f128))))
        return {256: f256, 128: f128, 64: f64}

    def query(self, slot: Slot, feature: Tensor) -> Tensor:
        """Query ``(B, C // 4, size, size)`` of a component feature ``(B, C, size, size)``."""
        query: Tensor = self.get_submodule(f"{slot.name}_Q")(feature)
        return query


class Query(nn.Module):
    """What a component asks its memories: ``C`` channels to ``C // 4``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Query = _pair(channels, channels // 4)

    def forward(self, feature: Tensor) -> Tensor:
        query: Tensor = self.Query(feature)
        return query


class KeyValue(nn.Module):
    """Memory entries of reference features: keys of ``C // 4`` channels and values of ``C``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Key = _pair(channels, channels // 4)
        self.Value = _pair(channels, channels)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        return self.Key(feature), self.Value(feature)


class BlendMask(nn.Module):
    """How much of the specific read to take at each place and channel; not bounded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        third = channels // 3
        self.conv1 = _pair(channels, third)
        self.conv2 = _pair(channels, third)
        self.conv3 = _pair(channels, third)
        self.convCat = _pair(3 * third, channels)

    def forward(self, feature: Tensor, specific: Tensor, generic: Tensor) -> Tensor:
        parts = [self.conv1(feature), self.conv2(specific), self.conv3(generic)]
        mask: Tensor = self.convCat(torch.cat(parts, dim=1))
        return mask


class DilatedResidual(nn.Module):
    """Input plus a conv pair with two dilations."""

    def __init__(self, channels: int, first: int, second: int) -> None:
        super().__init__()
        self.Res = _pair(channels, channels, dilations=(first, second))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.Res(x)
        return x + change


class Residual(nn.Module):
    """Input plus a conv pair."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Model = _pair(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.Model(x)
        return x + change


class DilatedContext(nn.Module):
    """Input plus what four conv pairs of falling dilation see around each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _pair(channels, channels, dilations=(4, 4))
        self.conv2 = _pair(channels, channels, dilations=(3, 3))
        self.conv3 = _pair(channels, channels, dilations=(2, 2))
        self.conv4 = _pair(channels, channels, dilations=(1, 1))
        self.convi = _conv(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.conv1(x), self.conv2(x), self.conv3(x), self.conv4(x)]
        change: Tensor = self.convi(torch.cat(views, dim=1))
        return x + change


class StyledUpsample(nn.Module):
    """Features scaled and shifted by a style map of their size and channels, then doubled in size."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _pair(channels_in, channels_out)
        self.ScaleModel1 = _pair(channels_in, channels_out)
        self.ShiftModel1 = _pair(channels_in, channels_out)
        self.convup = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            _conv(channels_out, channels_out),
            nn.LeakyReLU(_SLOPE),
            _conv(channels_out, channels_out),
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv1(x), _SLOPE)
        doubled: Tensor = self.convup(x * self.ScaleModel1(style) + self.ShiftModel1(style))
        return doubled


def cut(feature: Tensor, box: Tensor, size: int) -> Tensor:
    """Components ``(B, C, size, size)``: each feature map ``(B, C, S, S)`` inside its box, resized bilinearly.

    ``box`` ``(B, 4)`` in pixels of the face, clamped; floor-divided by the map's stride, ends exclusive.
    """
    x0, y0, x1, y1 = _cells(box, feature)
    across = _crop_matrix(x0, x1, size, feature)
    down = _crop_matrix(y0, y1, size, feature)
    rows = torch.einsum("bchw,bxw->bchx", feature, across)
    return torch.einsum("bchx,byh->bcyx", rows, down)


def paste(feature: Tensor, component: Tensor, box: Tensor) -> Tensor:
    """Feature maps ``(B, C, S, S)`` with components ``(B, C, size, size)`` resized to their boxes written over them."""
    x0, y0, x1, y1 = _cells(box, feature)
    size = component.shape[-1]
    across, in_columns = _placement_matrix(x0, x1, size, feature)
    down, in_rows = _placement_matrix(y0, y1, size, feature)
    rows = torch.einsum("bcyx,bwx->bcyw", component, across)
    placed = torch.einsum("bcyw,bhy->bchw", rows, down)
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return torch.where(inside, placed, feature)


def _cells(box: Tensor, feature: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The box's four columns ``(B, 1)`` in whole cells of the feature map."""
    cells = torch.floor(box / (FACE_SIZE // feature.shape[-1]))
    return cells[:, 0:1], cells[:, 1:2], cells[:, 2:3], cells[:, 3:4]


def _crop_matrix(start: Tensor, stop: Tensor, size: int, feature: Tensor) -> Tensor:
    """Matrix ``(B, size, S)`` from an axis of the map to ``size`` samples between ``start`` and ``stop`` ``(B, 1)``."""
    length = stop - start
    samples = torch.arange(size, device=start.device, dtype=start.dtype)
    at = ((samples + 0.5) * (length / size) - 0.5).clamp(min=0).minimum(length - 1)
    cells = torch.arange(feature.shape[-1], device=start.device, dtype=start.dtype) - start
    return _hat(at[:, :, None] - cells[:, None, :]).to(feature.dtype)


def _placement_matrix(start: Tensor, stop: Tensor, size: int, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix ``(B, S, size)`` from samples to an axis of the map, and whether each cell ``(B, S)`` is in the box."""
    cells = torch.arange(feature.shape[-1], device=start.device, dtype=start.dtype)
    at = ((cells - start + 0.5) * (size / (stop - start)) - 0.5).clamp(0, size - 1)
    samples = torch.arange(size, device=start.device, dtype=start.dtype)
    return _hat(at[:, :, None] - samples).to(feature.dtype), (cells >= start) & (cells < stop)


def _hat(distance: Tensor) -> Tensor:
    """Weight of a neighbour at this distance in linear interpolation."""
    return (1 - distance.abs()).clamp(min=0)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The memories of everyone in a batch side by side, ``E`` entries in all, and who may read which."""

    memory: Memory
    foreign: Tensor
    """(B, E): entries that are not of the face's person; all False for a face without memory."""
    temperature: Tensor
    """(B, 1): square root of the number of entries the face reads."""
    known: Tensor
    """(B, 1, 1, 1): whether the face has a memory."""

    def read(self, slot: Slot, query: Tensor) -> Tensor:
        """Specific read ``(B, C, size, size)``; of no meaning for a face without memory."""
        scores = _scores(query, self.memory.keys[slot.name]) / self.temperature
        return _weighted(scores.masked_fill(self.foreign, -math.inf), self.memory.values[slot.name])


def _shelve(memory: Memory | Sequence[Memory | None] | None, faces: Tensor) -> _Shelf | None:
    """The shelf for a batch of faces, or None where no face has a memory."""
    owned = list(memory) if isinstance(memory, Sequence) else [memory] * len(faces)
    if len(owned) != len(faces):
        raise ValueError(f"{len(owned)} memories for {len(faces)} faces; give one, or one (or None) for each face")
    distinct = list(dict.fromkeys(one for one in owned if one is not None))
    if not distinct:
        return None
    owners = [one for one in distinct for _ in range(one.entries)]
    foreign = torch.tensor([[mine is not None and one is not mine for one in owners] for mine in owned])
    known = torch.tensor([mine is not None for mine in owned])
    temperature = (~foreign).sum(dim=1, keepdim=True).to(faces.dtype).sqrt()
    return _Shelf(
        Memory.joined(distinct),
        foreign.to(faces.device),
        temperature.to(faces.device),
        known.view(-1, 1, 1, 1).to(faces.device),
    )


def _read(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Read ``(B, C, size, size)`` of the generic memory, all of whose entries are open to every face."""
    return _weighted(_scores(query, keys) / math.sqrt(len(keys)), values)


def _scores(query: Tensor, keys: Tensor) -> Tensor:
    """``(B, N)``: likeness of each query to each key over all channels and places."""
    return query.flatten(1) @ keys.flatten(1).T


def _weighted(scores: Tensor, values: Tensor) -> Tensor:
    """Values ``(N, ...)`` weighted by the softmax of scores ``(B, N)``."""
    return (scores.softmax(dim=1) @ values.flatten(1)).view(-1, *values.shape[1:])


def _with_statistics_of(feature: Tensor, read: Tensor) -> Tensor:
    """The read with each channel's mean and deviation replaced by the feature's (adaptive instance norm)."""
    read_variance, read_mean = torch.var_mean(read, dim=(2, 3), keepdim=True)
    variance, mean = torch.var_mean(feature, dim=(2, 3), keepdim=True)
    return (read - read_mean) * ((variance + _EPSILON) / (read_variance + _EPSILON)).sqrt() + mean


def _channels(width: int, scale: int) -> int:
    """Channels of a feature map: they double where its side halves."""
    return width * SCALES[0] // scale


def _conv(channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=dilation, dilation=dilation)


def _pair(channels_in: int, channels_out: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        _conv(channels_in, channels_out, stride, dilations[0]),
        nn.LeakyReLU(_SLOPE),
        _conv(channels_out, channels_out, dilation=dilations[1]),
    )


def _checked_boxes(faces: Tensor, boxes: Tensor) -> Tensor:
    """Boxes on the faces' device and clamped; ``ValueError`` where faces or boxes have another shape."""
    if faces.dim() != 4 or faces.shape[1:] != (3, FACE_SIZE, FACE_SIZE) or len(faces) == 0:
        raise ValueError(f"faces have shape {tuple(faces.shape)}, expected (B, 3, {FACE_SIZE}, {FACE_SIZE}), B >= 1")
    if boxes.shape != (len(faces), 4, 4):
        raise ValueError(f"boxes have shape {tuple(boxes.shape)}, expected {(len(faces), 4, 4)}")
    return clamp_boxes(boxes.to(faces.device, torch.float32))


def _fold_before_loading(module: nn.Module, state_dict: MutableMapping[str, Tensor], prefix: str, *_: object) -> None:
    """Replace ``weight_orig``, ``weight_u`` and ``weight_v`` by the weight they stand for."""
    for name in module.state_dict():
        original, left, right = (f"{prefix}{name}_{part}" for part in ("orig", "u", "v"))
        if original in state_dict and left in state_dict and right in state_dict:
            weight = state_dict.pop(original)
            wide = weight.double()
            sigma = state_dict.pop(left).double() @ wide.flatten(1) @ state_dict.pop(right).double()
            state_dict[prefix + name] = (wide / sigma).to(weight.dtype)
