"""What the detector asks of an engine: images of several lines in one batch, as many at once as its memory holds."""
