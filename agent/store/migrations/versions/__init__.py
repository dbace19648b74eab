"""The steps, by schema version."""
