"""The frozen CLIP image tower: its shape, its weights, where they come from."""
