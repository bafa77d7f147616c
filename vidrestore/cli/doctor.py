"""``vidrestore doctor``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Annotated

from vidrestore.cli.options import DONE, UNEXPECTED, UNPREFIXED, Output


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check that everything needed works here, and say which device does the work."""

    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.doctor import examine

        checks = examine()
        fine = all(check.ok or not check.needed for check in checks)
        if self.output_style.json:
            print(json.dumps({"ok": fine, "checks": [dataclasses.asdict(check) for check in checks]}))
        else:
            for check in checks:
                mark = "ok" if check.ok else "BROKEN" if check.needed else "absent"
                print(f"{mark:7}{check.name}: {check.detail}")
            print("everything needed works" if fine else "something needed is broken; see above")
        return DONE if fine else UNEXPECTED
