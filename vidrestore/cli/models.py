"""``vidrestore models``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from vidrestore.cli.options import DONE, INPUT_OUTPUT, UNPREFIXED, Output
from vidrestore.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Models:
    """List models, say where they are, fetch those that do not ship with vidrestore, verify checksums."""

    action: Annotated[Literal["list", "path", "fetch", "verify"], tyro.conf.Positional]
    """What to do."""
    name: Annotated[str | None, tyro.conf.Positional] = None
    """The model; without one, all of them (not for fetch)."""
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore import weights

        models = weights.list_models()
        if self.name is not None:
            known = ", ".join(sorted({model.name for model in models}))
            models = tuple(model for model in models if model.name == self.name)
            if not models:
                raise ConfigError(f"no model is called {self.name!r}; there are: {known}")
        if self.action == "fetch":
            return self._fetch(models)
        problems = {}
        if self.action == "verify":
            problems = {f"{m.kind}/{m.name}": weights.verify(m) for m in models if m.embedded or weights.is_present(m)}
        rows = [
            {
                "name": model.name,
                "kind": model.kind,
                "licence": model.licence,
                "present": weights.is_present(model),
                "path": str(weights.model_folder(model)),
                "description": model.description,
                "checkable": bool(model.files) and all(file.sha256 for file in model.files),
                **({"problems": problems.get(f"{model.kind}/{model.name}", [])} if self.action == "verify" else {}),
            }
            for model in models
        ]
        if self.output_style.json:
            print(json.dumps({"models": rows}))
        else:
            for row in rows:
                print(self._line(row))
        return INPUT_OUTPUT if any(problems.values()) else DONE

    def _line(self, row: dict[str, Any]) -> str:
        if self.action == "path":
            return str(row["path"])
        state = "present" if row["present"] else "not fetched"
        if self.action == "verify":
            checked = (
                "checksums are right" if row["checkable"] else "present; its publisher gives no checksum to compare"
            )
            state = "; ".join(row["problems"]) or (checked if row["present"] else "not fetched")
        return f"{row['kind']:9} {row['name']:12} {state}; {row['description']}; licence: {row['licence']}"

    def _fetch(self, models: Sequence[Any]) -> int:
        from vidrestore import weights

        if self.name is None:
            raise ConfigError("models fetch needs the name of a model; see 'vidrestore models list'")
        rows = []
        for model in models:
            print(f"{model.name}: {model.description}\nlicence: {model.licence}", file=sys.stderr)
            folder = weights.fetch(model)
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            digests = {str(path.relative_to(folder)): weights.sha256(path) for path in paths}
            rows.append({"name": model.name, "path": str(folder), "licence": model.licence, "sha256": digests})
        if self.output_style.json:
            print(json.dumps({"models": rows}))
        else:
            for row in rows:
                print(row["path"], *(f"  {name}  sha256 {digest}" for name, digest in row["sha256"].items()), sep="\n")
        return DONE
