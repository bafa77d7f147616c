"""Every exception a user may catch.

A message says what happened, the offending value, and what to do about it. The command line prints the message
alone and turns the class into an exit code (``vidrestore.cli``).
"""

from __future__ import annotations


class VidrestoreError(Exception):
    """Anything vidrestore raises on purpose."""


class ConfigError(VidrestoreError, ValueError):
    """A setting, flag or settings file is wrong."""


class VideoError(VidrestoreError, OSError):
    """A video cannot be opened, decoded, encoded or written."""


class PictureError(VidrestoreError, OSError):
    """A still picture cannot be read or written."""


class WeightsError(VidrestoreError, OSError):
    """A weight file is missing, damaged, of another shape, or cannot be fetched."""


class AnalysisError(VidrestoreError, ValueError):
    """A saved analysis is damaged, of another format version, or of another video."""


class ComponentError(VidrestoreError, TypeError):
    """A detector, smoother or restorer named by the user cannot be built or breaks its contract."""


class DeviceError(VidrestoreError, RuntimeError):
    """A device was asked for that is not there."""


class DeviceMemoryError(DeviceError):
    """A device ran out of memory, even for one face at a time."""
