"""`calibrate pretrain`: the small CLIP and its adapter, trained on generated images alone."""
