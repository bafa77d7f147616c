"""Data sets, degradations, networks and loops that make what is in ``models/``."""
