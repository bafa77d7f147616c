"""The embedded restorer: its network's properties, its file, and whether it helps."""

from __future__ import annotations

import dataclasses
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Finished
from faces import MEAN_FACE
from safetensors.torch import load_file, save_file
from skimage import data

from vidrestore import weights
from vidrestore.config import FacesSettings, RestorationSettings
from vidrestore.detectors import build_detector
from vidrestore.errors import WeightsError
from vidrestore.metrics import psnr
from vidrestore.restorers import build_restorer
from vidrestore.restorers.compact import is_compact_file, load_compact, load_network, publish_compact, save_compact
from vidrestore.restorers.compact.memory import Memory
from vidrestore.restorers.compact.network import CompactNetwork, CompactShape, cut_boxes, paste_boxes
from vidrestore.restorers.components import component_boxes
from vidrestore.training.degradations import Degradation, degrade
from vidrestore.types import Face, FaceCrop, Reference, Restorer

PORTRAITS = REPOSITORY.parent / "shared" / "portraits"
SMALL = CompactShape(
    width=8,
    blocks=(1, 1, 1, 1),
    bottom_width=16,
    key_width=4,
    entries=6,
    coarse_widths=(8, 8, 16),
    coarse_blocks=(1, 1, 1),
    coarse_key_width=4,
)
BOXES = torch.from_numpy(component_boxes(MEAN_FACE).astype(np.float32))


@pytest.fixture(autouse=True)
def one_thread():
    """Small batches on a busy machine are slower with more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> CompactNetwork:
    """A small network with random weights, also where training begins with zeros."""
    torch.manual_seed(0)
    network = CompactNetwork(SMALL)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    for reader in network.component_readers():
        torch.nn.init.normal_(reader.fuse[-1].weight, std=0.05)  # type: ignore[arg-type]
    torch.nn.init.normal_(network.coarse.head.weight, std=0.05)
    for whole in (network.coarse.reader1, network.coarse.reader2):
        torch.nn.init.normal_(whole.fuse[-1].weight, std=0.05)  # type: ignore[arg-type]
    return network.eval()


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return build_restorer(RestorationSettings(), "cpu")


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 512, 512, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def memory_of(network: CompactNetwork, seed: int, count: int = 2) -> Memory:
    return network.memorize(pictures(count, seed), BOXES.expand(count, 4, 4))


def test_an_untrained_network_changes_nothing() -> None:
    faces = pictures(1)
    with torch.inference_mode():
        torch.testing.assert_close(CompactNetwork(SMALL)(faces, BOXES[None]), faces)


def test_a_batch_of_several_people_equals_one_by_one(small: CompactNetwork) -> None:
    with torch.inference_mode():
        faces, boxes = pictures(4), BOXES.expand(4, 4, 4) + torch.arange(4.0)[:, None, None] * 3.3
        first, second = memory_of(small, 1), memory_of(small, 2, count=3)
        memories = [first, None, second, first]
        together = small(faces, boxes, memories)
        for index in range(4):
            alone = small(faces[index : index + 1], boxes[index : index + 1], [memories[index]])
            torch.testing.assert_close(together[index], alone[0], atol=1e-5, rtol=1e-5)


def test_references_matter_and_their_order_does_not(small: CompactNetwork) -> None:
    with torch.inference_mode():
        faces = pictures(1)
        generic = small(faces, BOXES[None])
        parts = [memory_of(small, seed, count=1) for seed in (1, 2)]
        specific = small(faces, BOXES[None], [Memory.joined(parts)])
        turned = small(faces, BOXES[None], [Memory.joined(parts[::-1])])
    assert (generic - specific).abs().max() > 1e-4
    torch.testing.assert_close(specific, turned, atol=1e-5, rtol=1e-5)


def test_references_change_the_whole_face_and_not_only_its_components(small: CompactNetwork) -> None:
    with torch.inference_mode():
        faces = pictures(1)
        change = small(faces, BOXES[None], [memory_of(small, 1)]) - small(faces, BOXES[None])
    forehead = change[:, :, :64, :64]
    assert forehead.abs().max() > 1e-4


def test_the_coarse_stage_changes_nothing_fine(small: CompactNetwork) -> None:
    """What it adds is a picture of 64 x 64 enlarged, so it is smooth at full size."""
    with torch.inference_mode():
        change = small.coarse(pictures(1), [None])
    step = (change[..., 1:] - change[..., :-1]).abs().max()
    assert 0 < step < change.abs().max() / 2


def test_cut_and_paste_of_a_box_agree() -> None:
    """What is cut out of a smooth map and pasted back is the map again, inside the box."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    smooth = torch.stack((x, y, x * y))[None]
    box = torch.tensor([[100.3, 180.7, 220.1, 291.9]])
    pasted = paste_boxes(cut_boxes(smooth, box, 28, 512), box, 128, 512)
    inside = (slice(None), slice(None), slice(48, 70), slice(28, 52))
    torch.testing.assert_close(pasted[inside], smooth[inside], atol=5e-3, rtol=0)
    assert pasted[:, :, :40].abs().max() == 0


def test_a_box_that_moves_by_a_tenth_of_a_pixel_changes_the_result_a_little(small: CompactNetwork) -> None:
    with torch.inference_mode():
        faces = pictures(1)
        results = [small(faces, BOXES[None] + shift) for shift in (0.0, 0.1, 8.0)]
    step, jump = ((results[0] - other).abs().max() for other in results[1:])
    assert 0 < step < jump / 5


@pytest.mark.parametrize("shift", [-400.0, 400.0])
def test_boxes_outside_the_picture_do_not_crash(small: CompactNetwork, shift: float) -> None:
    with torch.inference_mode():
        assert small(pictures(1), BOXES[None] + shift).isfinite().all()


def test_saved_weights_come_back(small: CompactNetwork, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_compact(small, path)
    assert is_compact_file(path) and [*tmp_path.iterdir()] == [path]
    again = load_compact(path, "small", "made up", "cpu")
    faces = pictures(1)
    with torch.inference_mode():
        out = again.run(faces, BOXES[None], [None])
        # Weights are stored in half precision: 11 bits.
        torch.testing.assert_close(out, small(faces, BOXES[None]), atol=2e-3, rtol=0)


def test_published_weights_are_half_as_large_and_restore_the_same(tmp_path: Path) -> None:
    """The embedded weights, in half precision and in 8 bits again, give the same picture but for rounding."""
    embedded = weights.find_model("compact", "restorer")
    network = load_network(weights.model_folder(embedded) / embedded.files[0].path)
    save_compact(network, tmp_path / "half.safetensors")
    publish_compact(network, tmp_path / "bytes.safetensors")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("bytes", "half")]
    assert sizes[0] < 0.55 * sizes[1]
    face = crop(np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8))
    pictures = [
        load_compact(tmp_path / f"{name}.safetensors", name, "made up", "cpu").restore([face], [None])[0]
        for name in ("bytes", "half")
    ]
    assert pictures[0] is not None and pictures[1] is not None
    assert psnr(pictures[0], pictures[1]) > 50  # 8 bits of a picture are worth 59 dB


def test_weights_of_another_shape_are_a_clear_error(
    small: CompactNetwork, tmp_path: Path, clip: Path, command: Callable[..., Finished]
) -> None:
    path = tmp_path / "other.safetensors"
    save_compact(small, path)
    tensors = load_file(path)
    tensors["stem.weight"] = torch.zeros(3, 3)
    key = "vidrestore.compact"
    shape = json.dumps(dataclasses.asdict(SMALL))
    save_file(tensors, path, metadata={key: shape})
    with pytest.raises(WeightsError, match=r"stem\.weight"):
        build_restorer(RestorationSettings(weights=str(path)), "cpu")
    done = command("restore", clip, "-o", tmp_path / "out.mp4", "--weights", path)
    assert done.code == 3 and "stem.weight" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "out.mp4").exists()


def crop(image: np.ndarray) -> FaceCrop:
    return FaceCrop(Face(0, None, MEAN_FACE, 1.0), image, np.eye(2, 3, dtype=np.float32), MEAN_FACE)


def test_the_embedded_weights_help_on_a_photograph_they_never_saw(restorer: Restorer) -> None:
    from faces import ASTRONAUT

    from vidrestore.alignment import alignment_matrix, cut_aligned
    from vidrestore.geometry import transform

    matrix = alignment_matrix(ASTRONAUT)
    truth, landmarks = cut_aligned(data.astronaut(), matrix), transform(matrix, ASTRONAUT)
    gains = []
    for seed in range(4):
        worse = Degradation(blur_sigma=4, downscale=5, noise=8, jpeg_quality=75, seed=seed)
        degraded = degrade(truth, worse)
        face = FaceCrop(Face(0, None, landmarks, 1.0), degraded, np.eye(2, 3, dtype=np.float32), landmarks)
        (restored,) = restorer.restore([face], [None])
        assert restored is not None
        gains.append(psnr(restored, truth) - psnr(degraded, truth))
    assert min(gains) > 0.3


def test_a_reference_of_another_size_is_refused(restorer: Restorer) -> None:
    reference = Reference(np.zeros((256, 256, 3), np.uint8), MEAN_FACE, "made up", 1.0, 1.0, "none")
    with pytest.raises(ValueError, match="256"):
        restorer.encode_references([reference])


def test_all_weights_together_are_small() -> None:
    size = sum(path.stat().st_size for path in (REPOSITORY / "models").rglob("*") if path.is_file())
    assert size < 40e6
    assert all(weights.verify(model) == [] for model in weights.list_models() if model.embedded)


@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="needs the val portraits in shared/portraits beside the repository")
def test_the_embedded_weights_help_on_people_they_never_saw(restorer: Restorer) -> None:
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks" / "restorer.py"))
    judge = build_detector(FacesSettings(), "cpu")
    figures = benchmark["measure"](PORTRAITS, restorer, benchmark["RECIPES"]["moderate"], 24, judge)
    assert figures["gain_db"] >= 1.8
    assert figures["gain_over_best_baseline_db"] > 1
    assert figures["restored"]["ssim"] > figures["input"]["ssim"]
    assert figures["restored"]["sharpness_ratio"] > figures["input"]["sharpness_ratio"]
    assert figures["with_references"]["portraits"] >= 5
    assert figures["with_references"]["component_gain_db"] > 0.05
