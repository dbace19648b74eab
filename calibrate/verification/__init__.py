"""Golden cases of training and of metrics."""
