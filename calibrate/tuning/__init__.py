"""Tuning an adapter to a data set: which images, the loop that can be interrupted, and whether it helped."""
