"""DMDNet against known answers (where the shared files are) and against its own properties (anywhere)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vidrestore.errors import DeviceMemoryError, WeightsError
from vidrestore.restorers.dmdnet import DMDNet, Memory, clamp_boxes, component_boxes, load_network
from vidrestore.restorers.dmdnet.network import SLOTS, Slot, cut, paste
from vidrestore.restorers.dmdnet.restorer import DMDNetRestorer
from vidrestore.types import Face, FaceCrop, Reference

SHARED = Path(__file__).resolve().parents[2] / "shared" / "dmdnet"
needs_shared = pytest.mark.skipif(
    not (SHARED / "golden.npz").is_file(), reason="the known answers (../shared/dmdnet) are not here"
)
TOLERANCE = 2e-5
WIDTH, ENTRIES = 8, 4
GAIN = 1.2  # of every convolution: signals neither fade nor fill the last tanh
BOXES = torch.tensor(
    [
        [[120, 180, 200, 260], [300, 180, 380, 260], [220, 230, 300, 320], [190, 330, 320, 460]],
        [[97, 201, 170, 275], [171, 197, 262, 289], [160, 240, 221, 311], [123, 335, 238, 451]],
        [[140, 190, 262, 312], [230, 200, 350, 320], [200, 240, 300, 340], [170, 270, 330, 430]],
    ],
    dtype=torch.float32,
)


def published_form(width: int = WIDTH, entries: int = ENTRIES) -> dict[str, Tensor]:
    """Random tensors by the published names and shapes: every convolution with its spectral norm."""
    generator = torch.Generator().manual_seed(width)
    tensors = {}
    for name, plain in DMDNet(width, entries).state_dict().items():
        values = torch.rand(plain.shape, generator=generator) * 2 - 1
        if not name.endswith("weight"):
            tensors[name] = values * (0.05 if name.endswith("bias") else 0.5)
            continue
        left, _, right = torch.linalg.svd(values.flatten(1), full_matrices=False)
        tensors[f"{name}_orig"] = values
        tensors[f"{name}_u"], tensors[f"{name}_v"] = left[:, 0] / GAIN, right[0].clone()
    return tensors


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small convolutions on a busy machine are many times slower when threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return published_form()


@pytest.fixture(scope="module")
def network(tensors: dict[str, Tensor]) -> DMDNet:
    return load_network(tensors)


@pytest.fixture(scope="module")
def faces() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(3, 3, 32, 32, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=512, mode="bilinear")


@pytest.fixture(scope="module")
def memories(network: DMDNet, faces: Tensor) -> tuple[Memory, Memory]:
    """Of two people, with two references and one."""
    return network.memorize(faces[:2].flip(3), BOXES[:2]), network.memorize(faces[2:].flip(2), BOXES[2:])


# --- known answers ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden() -> Mapping[str, np.ndarray]:
    with np.load(SHARED / "golden.npz") as answers:
        return dict(answers)


@pytest.fixture(scope="module")
def full_size() -> dict[str, np.ndarray]:
    """All that golden.npz has answers for, computed by this implementation at full size, in float32."""
    spec = importlib.util.spec_from_file_location("deterministic", SHARED / "deterministic.py")
    deterministic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deterministic)
    published = {name: torch.from_numpy(array) for name, array in deterministic.state_dict().items()}
    shapes = json.loads((SHARED / "manifest.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in published.items()} == shapes
    network = load_network(published)
    given = {name: torch.from_numpy(array) for name, array in deterministic.inputs().items()}
    boxes = given["lq_boxes"]
    with torch.inference_mode():
        memory = network.memorize(given["refs"], given["ref_boxes"])
        maps = network.E_lq(given["lq"])
        eye, mouth = cut(maps[256], boxes[:, 0], 40), cut(maps[64], boxes[:, 3], 13)
        computed = {
            "generic": network(given["lq"], boxes)[:, :, ::4, ::4],
            "specific": network(given["lq"], boxes, memory)[:, :, ::4, ::4],
            "f256": maps[256][:, ::8, ::16, ::16],
            "f128": maps[128][:, ::8, ::8, ::8],
            "f64": maps[64][:, ::8, ::4, ::4],
            "le256": eye[:, ::8, ::4, ::4],
            "mo64": mouth[:, ::8],
            "le_256_q": network.E_lq.query(SLOTS[0], eye)[:, :, ::8, ::8],
            "dict_le256_key": memory.keys["LE_256"][:, ::4, ::8, ::8],
            "dict_mo64_value": memory.values["MO_64"][:, ::16],
        }
    return {name: tensor.numpy() for name, tensor in computed.items()}


@needs_shared
@pytest.mark.parametrize(
    "name",
    ["f256", "f128", "f64", "le256", "mo64", "le_256_q", "dict_le256_key", "dict_mo64_value", "generic", "specific"],
)
def test_known_answer(name: str, full_size: dict[str, np.ndarray], golden: Mapping[str, np.ndarray]) -> None:
    np.testing.assert_allclose(full_size[name], golden[name], rtol=0, atol=TOLERANCE)


@needs_shared
def test_component_boxes_known_answers(golden: Mapping[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(component_boxes(golden["landmarks68"]), golden["component_boxes"])


@needs_shared
def test_names_are_the_published_ones() -> None:
    shapes = json.loads((SHARED / "manifest.json").read_text())
    with torch.device("meta"):
        plain = DMDNet().state_dict()
    weights = {name for name in plain if name.endswith("weight")}
    spectral = {f"{name}_{part}" for name in weights for part in ("orig", "u", "v")}
    assert (set(plain) - weights) | spectral == set(shapes)


# --- component boxes ----------------------------------------------------------------------------------------------


def landmarks_at(x: float, y: float, spread: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.uniform(-1, 1, (68, 2)) * spread + (x, y)).astype(np.float32)


def test_component_boxes_take_any_leading_shape() -> None:
    one = landmarks_at(256, 256, 120)
    assert component_boxes(one).shape == (4, 4)
    np.testing.assert_array_equal(component_boxes(np.stack([[one, one]])), np.stack([[component_boxes(one)] * 2]))


def test_component_boxes_refuse_what_has_no_answer() -> None:
    with pytest.raises(ValueError, match="NaN"):
        component_boxes(np.full((68, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        component_boxes(np.zeros((5, 2), np.float32))


def test_clamp_leaves_good_boxes_alone() -> None:
    good = torch.cat([BOXES.flatten(0, 1), torch.tensor([[0.0, 0, 512, 512], [504, 508, 512, 512], [7, 0, 8, 8]])])
    assert torch.equal(clamp_boxes(good), good)


def awkward_boxes() -> Tensor:
    nan, inf = float("nan"), float("inf")
    listed = [
        [-40, -40, 30, 30],
        [480, 490, 600, 700],
        [100, 100, 100, 100],
        [101, 101, 103, 103],
        [200, 220, 150, 160],
        [600, 600, 700, 700],
        [-90, -90, -10, -10],
        [511, 511, 512, 512],
        [0, 0, 7, 7],
        [nan, nan, nan, nan],
        [-inf, -inf, inf, inf],
    ]
    generator = torch.Generator().manual_seed(0)
    return torch.cat([torch.tensor(listed), (torch.rand(500, 4, generator=generator) * 900 - 200).round()])


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_clamped_boxes_lie_inside_and_hold_a_cell(stride: int) -> None:
    cells = clamp_boxes(awkward_boxes()) // stride
    assert (cells[:, :2] >= 0).all() and (cells[:, 2:] <= 512 // stride).all()
    assert (cells[:, :2] < cells[:, 2:]).all()


def test_awkward_boxes_never_crash_the_network(network: DMDNet, faces: Tensor) -> None:
    boxes = awkward_boxes()[:12].view(3, 4, 4)
    memory = network.memorize(faces, boxes)
    assert network(faces, boxes, memory).isfinite().all()


def test_landmarks_anywhere_never_crash_the_network(network: DMDNet, faces: Tensor) -> None:
    places = [landmarks_at(-300, -300, 50), landmarks_at(512, 0, 0), landmarks_at(256, 500, 400)]
    assert network(faces, torch.from_numpy(component_boxes(np.stack(places)))).isfinite().all()


# --- cutting and pasting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_cut_and_paste_are_the_plain_slice_and_resize(slot: Slot) -> None:
    maps = torch.rand(3, 2, slot.scale, slot.scale)
    patches = torch.rand(3, 2, slot.size, slot.size)
    boxes = torch.cat([BOXES[:2, slot.row], torch.tensor([[504.0, 0, 512, 9]])])
    found_patches, found_maps = cut(maps, boxes, slot.size), paste(maps, patches, boxes)
    for i, box in enumerate((boxes // (512 // slot.scale)).int().tolist()):
        x0, y0, x1, y1 = box
        patch = F.interpolate(maps[i : i + 1, :, y0:y1, x0:x1], size=(slot.size, slot.size), mode="bilinear")
        torch.testing.assert_close(found_patches[i], patch[0], rtol=0, atol=1e-5)
        expected = maps[i].clone()
        expected[:, y0:y1, x0:x1] = F.interpolate(patches[i : i + 1], size=(y1 - y0, x1 - x0), mode="bilinear")[0]
        torch.testing.assert_close(found_maps[i], expected, rtol=0, atol=1e-5)


# --- loading ------------------------------------------------------------------------------------------------------


def test_width_and_entries_follow_from_the_tensors() -> None:
    network = load_network(published_form(width=12, entries=3))
    assert network.E_lq.conv1[0].out_channels == 12
    assert len(network.get_buffer("mo_64_mem_key")) == 3


def test_network_is_ready_for_inference(network: DMDNet) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(name.endswith(("_orig", "_u", "_v")) for name in network.state_dict())


def test_published_form_loads_strictly_and_stays_whole(tensors: dict[str, Tensor], network: DMDNet) -> None:
    given = dict(tensors)
    fresh = DMDNet(WIDTH, ENTRIES)
    fresh.load_state_dict(given, strict=True)
    assert given.keys() == tensors.keys()
    torch.testing.assert_close(fresh.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_folded_weight_is_the_spectral_norms_own(tensors: dict[str, Tensor], network: DMDNet) -> None:
    stem = "MSDilate.convi."
    normed = nn.utils.spectral_norm(nn.Conv2d(16 * WIDTH, 4 * WIDTH, 3, padding=1)).eval()
    own = {name.removeprefix(stem): tensor for name, tensor in tensors.items() if name.startswith(stem)}
    normed.load_state_dict(own)
    x = torch.rand(1, 16 * WIDTH, 5, 5)
    torch.testing.assert_close(network.MSDilate.convi(x), normed(x).detach(), rtol=1e-5, atol=1e-6)


def same_weights(left: DMDNet, right: DMDNet) -> bool:
    other = right.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in left.state_dict().items())


def test_every_kind_of_file_gives_the_same_network(tensors: dict[str, Tensor], network: DMDNet, tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "a.pth")
    torch.save({"step": 7, "state_dict": {f"module.{name}": t for name, t in tensors.items()}}, tmp_path / "b.pth")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "c.safetensors")
    save_file(network.state_dict(), tmp_path / "folded.safetensors")
    for name in ("a.pth", "b.pth", "c.safetensors", "folded.safetensors"):
        assert same_weights(load_network(tmp_path / name), network), name
    assert same_weights(load_network(str(tmp_path / "a.pth")), network)


def test_missing_tensor_is_named(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"lacks 1 of \d+ tensors: up4\.0\.weight_u"):
        load_network({name: tensor for name, tensor in tensors.items() if name != "up4.0.weight_u"})
    with pytest.raises(WeightsError, match="le_256_mem_key"):
        load_network({name: tensor for name, tensor in tensors.items() if "mem" not in name})


def test_unexpected_tensor_is_named(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"not of a DMDNet: up5\.bias"):
        load_network({**tensors, "up5.bias": torch.zeros(3)})


def test_wrong_shape_is_named_with_what_was_expected(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"up1\.conv1\.0\.bias is torch\.float32 \(5,\), expected .*\(16,\)"):
        load_network({**tensors, "up1.conv1.0.bias": torch.zeros(5)})
    with pytest.raises(WeightsError, match=r"int64"):
        load_network({**tensors, "up1.conv1.0.bias": torch.zeros(16, dtype=torch.int64)})
    with pytest.raises(WeightsError, match="at least 4"):
        load_network({**tensors, "E_lq.conv1.0.bias": torch.zeros(1)})


def test_numbers_that_are_none_are_named(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"NaN or infinity: up4\.0\.weight\."):
        load_network({**tensors, "up4.0.weight_u": torch.zeros(WIDTH)})


def test_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weight file"):
        load_network(tmp_path / "absent.pth")
    for name in ("garbage.pth", "garbage.safetensors"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(WeightsError, match=f"{name}: not a weight file"):
            load_network(tmp_path / name)
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        load_network(tmp_path / "list.pth")
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"not a DMDNet checkpoint.*holds other"):
        load_network(tmp_path / "other.pth")


def test_truncated_file(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "whole.pth")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "whole.safetensors")
    for suffix in (".pth", ".safetensors"):
        content = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(content[: len(content) // 2])
        with pytest.raises(WeightsError, match="not a weight file"):
            load_network(tmp_path / f"cut{suffix}")


def test_file_with_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Path("x")}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        load_network(tmp_path / "code.pth")


# --- the network --------------------------------------------------------------------------------------------------


def test_batch_equals_one_by_one(network: DMDNet, faces: Tensor) -> None:
    batch = network(faces, BOXES)
    for i in range(3):
        torch.testing.assert_close(batch[i : i + 1], network(faces[i : i + 1], BOXES[i : i + 1]), rtol=0, atol=1e-5)


def test_mixed_memories_equal_separate_runs(network: DMDNet, faces: Tensor, memories: tuple[Memory, Memory]) -> None:
    mixed = [memories[1], None, memories[0]]
    batch = network(faces, BOXES, mixed)
    for i, memory in enumerate(mixed):
        alone = network(faces[i : i + 1], BOXES[i : i + 1], memory)
        torch.testing.assert_close(batch[i : i + 1], alone, rtol=0, atol=1e-5)
    assert (batch[1] - network(faces, BOXES, memories[0])[1]).abs().max() > 1e-3


def test_one_memory_for_all_equals_a_list_of_it(
    network: DMDNet, faces: Tensor, memories: tuple[Memory, Memory]
) -> None:
    assert torch.equal(network(faces, BOXES, memories[0]), network(faces, BOXES, [memories[0]] * 3))
    assert torch.equal(network(faces, BOXES), network(faces, BOXES, [None] * 3))


def test_order_of_references_does_not_matter(network: DMDNet, faces: Tensor) -> None:
    forth, back = network.memorize(faces, BOXES), network.memorize(faces.flip(0), BOXES.flip(0))
    assert forth.entries == 3
    torch.testing.assert_close(
        network(faces[:1], BOXES[:1], forth), network(faces[:1], BOXES[:1], back), rtol=0, atol=1e-5
    )


def test_nose_box_is_not_read(network: DMDNet, faces: Tensor) -> None:
    moved = BOXES.clone()
    moved[:, 2] = torch.tensor([1.0, 2, 30, 40])
    assert torch.equal(network(faces, BOXES), network(faces, moved))


def test_network_refuses_other_shapes(network: DMDNet, faces: Tensor, memories: tuple[Memory, Memory]) -> None:
    with pytest.raises(ValueError, match="256, 256"):
        network(faces[:, :, :256, :256], BOXES)
    with pytest.raises(ValueError, match="boxes have shape"):
        network(faces, BOXES[:2])
    with pytest.raises(ValueError, match="2 memories for 3 faces"):
        network(faces, BOXES, list(memories))
    with pytest.raises(ValueError, match="B >= 1"):
        network.memorize(faces[:0], BOXES[:0])


# --- the restorer -------------------------------------------------------------------------------------------------


def picture(seed: int, size: int = 512) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def crop(seed: int) -> FaceCrop:
    landmarks = landmarks_at(256, 256, 120)
    return FaceCrop(Face(0, None, landmarks, 1.0), picture(seed), np.eye(2, 3, dtype=np.float32), landmarks)


def reference(seed: int, size: int = 512) -> Reference:
    return Reference(picture(seed, size), landmarks_at(250, 260, 110), f"pts {seed}", 1.0, 1.0, "sharp")


@pytest.fixture
def restorer(tensors: dict[str, Tensor], tmp_path: Path) -> DMDNetRestorer:
    torch.save(tensors, tmp_path / "small.pth")
    return DMDNetRestorer(load_network(tmp_path / "small.pth"), torch.device("cpu"), "small", "made up")


def test_restorer_says_what_it_is(restorer: DMDNetRestorer) -> None:
    assert (restorer.name, restorer.licence, restorer.device) == ("small", "made up", "cpu")
    assert restorer.crop_size == 512


def test_restorer_restores_each_crop(restorer: DMDNetRestorer) -> None:
    memory = restorer.encode_references([reference(1), reference(2)])
    crops = [crop(3), crop(4)]
    images = restorer.restore(crops, [memory, None])
    assert [(image.shape, image.dtype) for image in images] == [((512, 512, 3), np.uint8)] * 2
    for one, own, image in zip(crops, [memory, None], images, strict=True):
        (alone,) = restorer.restore([one], [own])
        assert np.abs(alone.astype(int) - image).max() <= 1
    assert restorer.restore([], []) == []


def test_restorer_keeps_pixel_values(monkeypatch: pytest.MonkeyPatch, restorer: DMDNetRestorer) -> None:
    monkeypatch.setattr(restorer._network, "forward", lambda faces, *_: faces)
    one = crop(5)
    assert np.array_equal(restorer.restore([one], [None])[0], one.image)


def limited(limit: int, sizes: list[int]) -> Callable[..., Tensor]:
    """A network's forward for a device that holds ``limit`` faces; notes the sizes it was given."""

    def forward(faces: Tensor, *_: object) -> Tensor:
        sizes.append(len(faces))
        if len(faces) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return faces

    return forward


def test_restorer_halves_the_batch(monkeypatch: pytest.MonkeyPatch, restorer: DMDNetRestorer) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(restorer._network, "forward", limited(2, sizes))
    crops = [crop(seed) for seed in range(5)]
    images = restorer.restore(crops, [None] * 5)
    assert all(np.array_equal(one.image, image) for one, image in zip(crops, images, strict=True))
    restorer.restore(crops[:3], [None] * 3)
    assert sizes == [5, 2, 2, 1, 2, 1]


def test_restorer_says_when_one_face_does_not_fit(monkeypatch: pytest.MonkeyPatch, restorer: DMDNetRestorer) -> None:
    monkeypatch.setattr(restorer._network, "forward", limited(0, []))
    with pytest.raises(DeviceMemoryError, match="cpu has too little memory"):
        restorer.restore([crop(0), crop(1)], [None, None])


def test_references_are_encoded_in_parts_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, restorer: DMDNetRestorer
) -> None:
    references = [reference(seed) for seed in range(3)]
    whole, memorize = restorer.encode_references(references), restorer._network.memorize

    def one_at_a_time(images: Tensor, boxes: Tensor) -> Memory:
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return memorize(images, boxes)

    monkeypatch.setattr(restorer._network, "memorize", one_at_a_time)
    parts = restorer.encode_references(references)
    assert parts.entries == 3
    for name in whole.keys:
        torch.testing.assert_close(parts.keys[name], whole.keys[name], rtol=0, atol=1e-5)
        torch.testing.assert_close(parts.values[name], whole.values[name], rtol=0, atol=1e-5)


def test_restorer_refuses_wrong_input(restorer: DMDNetRestorer) -> None:
    with pytest.raises(ValueError, match="at least one"):
        restorer.encode_references([])
    with pytest.raises(ValueError, match=r"\(256, 256, 3\)"):
        restorer.encode_references([reference(1, 256)])
    with pytest.raises(ValueError, match="0 memories for 1 crops"):
        restorer.restore([crop(0)], [])
