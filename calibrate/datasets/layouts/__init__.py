"""One file a layout: which folders it matches, and what its names say of each image."""
