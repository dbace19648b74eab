"""One archive of what an agent would be missed for: made while it runs, put back while it does not."""
