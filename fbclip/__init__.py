"""FB-CLIP anomaly detector: images in, margins, maps and verdicts out. No threads, no database."""

import os
from importlib.metadata import version

# Read by OpenMP when torch is loaded. Threads that wait by spinning take the time of the one that they wait for: beside
# one other busy process the detector ran at a fraction of its rate.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = version("fbclip-inspect")
