"""Metrics of scores and anomaly maps, exact with ties: arrays in, numbers out."""
