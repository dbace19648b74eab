"""Memories of normal images: built, cleaned, fused with the zero-shot margins, and measured by few-shot curves."""
