"""All agents of a broker at a glance, from what they say on their retained topics."""
