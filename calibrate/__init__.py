"""Offline tool: trains the embedded model, tunes adapters and measures the thresholds of a line."""
