"""Another runtime or precision beside the one that a profile was measured with, and a profile of its own for it."""
