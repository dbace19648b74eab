"""Proof by breaking it: real agents under faults, and what must hold whatever happened."""
