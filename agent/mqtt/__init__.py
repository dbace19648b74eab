"""Alerts to the broker: what they say, how they get there, and a broker for the first run."""
