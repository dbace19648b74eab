"""Defects painted on normal images, with their masks: seeded, used by tuning, thresholds and the embedded model."""
