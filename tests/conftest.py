"""Fixtures that several tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers side by side, a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from media import Clip, make_clip

from vidrestore import cli

REPOSITORY = Path(__file__).resolve().parents[1]
_NOBODY = 65534


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run a command of the command line in this process."""

    def run(*arguments: str | Path) -> Finished:
        capfd.readouterr()
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as exit_:  # tyro leaves by itself where the usage is wrong
            code = int(exit_.code or 0)
        out, err = capfd.readouterr()
        return Finished(code, out, err)

    return run


@pytest.fixture
def python() -> Callable[..., Finished]:
    """Run a fresh interpreter that sees this repository's package."""

    def run(*arguments: str | Path) -> Finished:
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain clip of 24 frames of 160 x 120, without a face in it."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Clip(size=(160, 120), count=24))


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that everybody may read, while this process is nobody: file permissions mean nothing to root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    is_root = hasattr(os, "setresuid") and os.getuid() == 0
    if is_root:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield folder
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
        shutil.rmtree(folder)
