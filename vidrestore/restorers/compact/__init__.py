"""The embedded restorer: a small dual-dictionary network, and its weight files."""

from vidrestore.restorers.compact.restorer import CompactRestorer, is_compact_file, load_compact, save_compact

__all__ = ["CompactRestorer", "is_compact_file", "load_compact", "save_compact"]
