"""Starting is quick: nothing slow is imported before it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

SLOW = {"torch", "insightface", "onnxruntime", "av", "decord", "skimage", "matplotlib", "filterpy"}


@pytest.mark.parametrize(
    "statement",
    [
        "import vidrestore",
        "import vidrestore.cli",
        "import vidrestore.config",
        "from vidrestore import Settings; Settings()",
        "from vidrestore import cli; assert cli.run(['--help']) == 0",
        "from vidrestore import cli; assert cli.run(['--version']) == 0",
        "from vidrestore import cli; assert cli.run(['models', 'list']) == 0",
    ],
)
def test_nothing_slow_is_imported(python: Callable, statement: str) -> None:
    done = python("-c", f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    assert done.code == 0, done.err
    assert not SLOW & set(json.loads(done.out.splitlines()[-1]))


def test_help_of_a_command_imports_nothing_slow(python: Callable) -> None:
    code = (
        "import json, sys\nfrom vidrestore import cli\n"
        "try:\n    cli.run(['restore', '--help'])\nexcept SystemExit as left:\n    assert not left.code\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = python("-c", code)
    assert done.code == 0, done.err
    assert "--output" in done.out
    assert not SLOW & set(json.loads(done.out.splitlines()[-1]))


def test_the_public_names_are_there(python: Callable) -> None:
    done = python("-c", "import vidrestore; print([getattr(vidrestore, name) for name in vidrestore.__all__])")
    assert done.code == 0, done.err
    assert "function restore_video" in done.out
