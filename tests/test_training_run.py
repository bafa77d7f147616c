"""A training run: interrupted, resumed, refused, shared by processes, and shown."""

from __future__ import annotations

import csv
import functools
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrestore.errors import WeightsError
from vidrestore.progress import Reporter
from vidrestore.training.curves import read_log
from vidrestore.training.loop import RunSettings, train
from vidrestore.training.processes import company, rank
from vidrestore.training.record import Record
from vidrestore.types import TrainingProgress


def settings(folder: Path, **chosen) -> RunSettings:
    given = {"minutes": 1.0, "batch": 8, "learning_rate": 1e-2, "steps": 6, "threads": 1, "checkpoint_seconds": 0.0}
    return RunSettings(folder=folder, **(given | chosen))


def draw(rng: np.random.Generator, count: int = 8) -> Tensor:
    return torch.from_numpy(rng.standard_normal((count, 5), dtype=np.float32))


def small_network(width: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, width)


def losses(network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    return {"loss": (network(batch).sum(dim=1) - batch.sum(dim=1)).square().mean()}


def run(folder: Path, **chosen) -> nn.Module:
    network = small_network()
    train(network, draw, functools.partial(losses, network), settings(folder, **chosen))
    return network


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = run(tmp_path / "unbroken", report_steps=2)
    network, steps = small_network(), itertools.count()

    def interrupted(batch: Tensor) -> dict[str, Tensor]:
        if next(steps) == 3:
            raise KeyboardInterrupt
        return losses(network, batch)

    with pytest.raises(KeyboardInterrupt):
        train(network, draw, interrupted, settings(tmp_path / "broken", report_steps=2))
    resumed = run(tmp_path / "broken", report_steps=2, workers=3)
    assert same(resumed, unbroken)
    logs = [read_log(tmp_path / name / "log.csv") for name in ("broken", "unbroken")]
    assert [row["step"] for row in logs[0]] == [2, 4, 6]
    # The rate of a step depends on its place in the run alone.
    assert [row["learning_rate"] for row in logs[0]][0::2] == [row["learning_rate"] for row in logs[1]][0::2]


def test_a_run_that_is_over_does_nothing_more(tmp_path: Path) -> None:
    once = run(tmp_path)
    assert same(run(tmp_path), once)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    assert not same(run(tmp_path / "a"), run(tmp_path / "b", seed=1))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    other = small_network(width=4)
    with pytest.raises(WeightsError, match=r"does not fit the sorter that is to be trained.*name another folder"):
        train(other, draw, functools.partial(losses, other), settings(tmp_path, network="sorter"))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match="delete it to begin anew"):
        run(tmp_path)


def test_minutes_bound_a_run(tmp_path: Path) -> None:
    reports: list[TrainingProgress] = []
    run(tmp_path, steps=None, minutes=0.01, on_progress=reports.append)
    assert reports[0].share < 0.5 and reports[-1].share == 1
    assert reports[-1].minutes >= 0.01
    assert [report.share for report in reports] == sorted(report.share for report in reports)


def _two_halves(folder: Path, number: int) -> None:
    """What each of two processes does; the parameters are kept beside."""
    network = small_network()
    train(network, draw, functools.partial(losses, network), settings(folder / "run"))
    torch.save(network.state_dict(), folder / f"{number}.pt")


def test_two_processes_train_as_one_with_both_their_batches(tmp_path: Path) -> None:
    with company(functools.partial(_two_halves, tmp_path), 2, "cpu"):
        assert rank() == 0
        _two_halves(tmp_path, 0)
    first, second = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    network, steps = small_network(), itertools.count()

    def both(_: np.random.Generator) -> Tensor:
        step = next(steps)
        return torch.cat([draw(np.random.default_rng([0, step, number])) for number in (0, 1)])

    train(network, both, functools.partial(losses, network), settings(tmp_path / "alone"))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=1e-5)


def _fails(number: int) -> None:
    raise RuntimeError(f"process {number} has had enough")


def test_an_error_of_another_process_is_raised_here() -> None:
    with pytest.raises(Exception, match="process 1 has had enough"), company(_fails, 2, "cpu"):
        torch.distributed.barrier()


def test_curves_are_drawn_and_rows_of_a_lost_part_dropped(tmp_path: Path) -> None:
    run(tmp_path, report_steps=2)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["step", "minutes", "loss"] and len(rows) == 4
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None and picture.shape[1] > 1000 and picture.std() > 5
    with (tmp_path / "log.csv").open("a", newline="") as file:
        csv.writer(file).writerow([9, *rows[-1][1:]])
    run(tmp_path, steps=8, report_steps=2)
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == [2, 4, 6, 8]


def test_a_record_says_that_a_run_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Record(tmp_path, {"settings": {"seed": 3}}) as record:
        assert json.loads((tmp_path / "recipe.json").read_text())["finished"] is False
        record.note(TrainingProgress("sorter", 5, 1.5, 0.5, {"loss": 0.25}))
        raise KeyboardInterrupt
    kept = json.loads((tmp_path / "recipe.json").read_text())
    assert (kept["finished"], kept["steps"], kept["figures"]) == (False, 5, {"loss": 0.25})
    assert kept["settings"] == {"seed": 3} and {"vidrestore", "python", "torch", "numpy"} <= set(kept["versions"])


def test_training_is_told_as_json_lines_and_as_a_bar(capfd: pytest.CaptureFixture[str]) -> None:
    for style in ("json", "bar"):
        with Reporter(style) as reporter:  # type: ignore[arg-type]
            for step in (0, 1, 2):
                reporter(TrainingProgress("sorter", step, 0.1 * step, step / 2, {"loss": 0.5}))
        err = capfd.readouterr().err
        if style == "json":
            lines = [json.loads(line) for line in err.splitlines()]
            assert lines[-1] == {
                "stage": "train sorter", "step": 2, "minutes": 0.2, "share": 1.0, "figures": {"loss": 0.5}
            }  # fmt: skip
        else:
            assert "train sorter: 100%" in err and "step 2, loss 0.5" in err
