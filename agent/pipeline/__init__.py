"""From a frame to its record: batches, verdicts, saved images, one transaction."""
