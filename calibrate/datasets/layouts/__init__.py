"""One file a layout: which folders it fits, and what its names say of each image."""
