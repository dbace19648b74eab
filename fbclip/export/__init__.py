"""A model to graphs for other runtimes, and what lower precisions keep in float."""
