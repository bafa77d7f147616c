"""DMDNet: restores a face with a generic memory of faces and a memory of the person (arXiv 2210.08160)."""

from vidrestore.restorers.dmdnet.boxes import clamp_boxes, component_boxes
from vidrestore.restorers.dmdnet.checkpoint import load_network
from vidrestore.restorers.dmdnet.network import DMDNet, Memory

__all__ = ["DMDNet", "Memory", "clamp_boxes", "component_boxes", "load_network"]
