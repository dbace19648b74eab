"""Readers of labelled pictures: one file a layout, all yielding `Sample`."""
