"""The embedded restorer: a small dual-dictionary network, and its weight files."""

from vidrestore.restorers.compact.restorer import CompactRestorer, load_compact
from vidrestore.restorers.compact.weight_file import (
    is_compact_file,
    licence_in,
    load_network,
    publish_compact,
    save_compact,
)

__all__ = [
    "CompactRestorer",
    "is_compact_file",
    "licence_in",
    "load_compact",
    "load_network",
    "publish_compact",
    "save_compact",
]
