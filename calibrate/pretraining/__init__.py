"""`calibrate pretrain`: the embedded model from nothing, on generated pictures only."""
