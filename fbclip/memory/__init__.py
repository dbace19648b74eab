"""Features of normal images of a line: kept, compared with, fused with the zero-shot margins."""
