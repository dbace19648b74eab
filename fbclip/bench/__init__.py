"""What the whole forward costs beside the bare backbone."""
