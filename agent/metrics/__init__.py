"""What Prometheus may scrape: the agent's state as numbers, with bounded labels and no name of a file."""
