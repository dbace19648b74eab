"""Memories of good pictures: built, cleaned, fused with the zero-shot margins, and measured by few-shot curves."""
