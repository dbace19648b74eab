"""FB-CLIP anomaly detector: images in, margins, maps and verdicts out. No threads, no database."""
