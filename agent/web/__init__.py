"""The page: what the agent judges and how it is, for people."""
