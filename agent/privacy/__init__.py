"""Lines with `privacy: phi`: what stands for a file where its name must not, and logs that name no file."""
