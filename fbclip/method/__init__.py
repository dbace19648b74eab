"""FB-CLIP itself: every step of the paper as one file."""
