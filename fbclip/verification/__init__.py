"""Golden cases of the forward pass and of preprocessing."""
