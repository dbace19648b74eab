"""Readers of labelled images: one file a layout, all yielding `Sample`."""

from calibrate.datasets.reader import read_data

__all__ = ["read_data"]
