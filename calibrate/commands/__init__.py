"""One file a command: what the user may say, and the one call that does it."""
