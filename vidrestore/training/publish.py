"""Make the small weight file that is published of a trained restorer.

python -m vidrestore.training.publish runs/restorer/compact.safetensors models/restorer/compact/compact.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vidrestore.restorers.compact import licence_in, load_network, publish_compact


def main() -> None:
    """Read the one file and write the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("published", type=Path)
    arguments = parser.parse_args()
    publish_compact(load_network(arguments.trained), arguments.published, licence_in(arguments.trained))


if __name__ == "__main__":
    main()
