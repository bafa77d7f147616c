"""A hundred damaged files: no crash, no hang, no memory without bound. ``benchmarks/fuzz.py`` runs thousands."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from conftest import REPOSITORY

MUTANTS = 100


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs limits on processes, and their peak memory")
def test_mutants_are_copied_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    spec = importlib.util.spec_from_file_location("fuzz", REPOSITORY / "benchmarks" / "fuzz.py")
    fuzz = sys.modules["fuzz"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    outcomes = list(fuzz.run(range(MUTANTS), fuzz.generated(tmp_path)))
    assert [outcome for outcome in outcomes if outcome.failed] == []
    ends = {outcome.ended for outcome in outcomes}
    assert ends == {"copied", "refused"}  # else the mutations did nothing, or too much
