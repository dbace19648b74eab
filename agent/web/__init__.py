"""The page: what the agent sees and says, for people."""
