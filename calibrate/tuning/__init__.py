"""Tuning an adapter to a data set: which pictures, the loop that can be interrupted, and whether it helped."""
