"""FB-CLIP anomaly detector: images in, margins, maps and verdicts out. No threads, no database."""

from importlib.metadata import version

__version__ = version("fbclip-inspect")
