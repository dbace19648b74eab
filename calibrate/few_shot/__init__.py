"""What a memory of a few normal images is worth: the experiment, its curves, its file."""
