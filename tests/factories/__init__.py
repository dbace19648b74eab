"""Small things that several tests need, one file a kind."""
