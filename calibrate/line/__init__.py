"""One line from its images to memory, profile and report, by what agent.yaml says of it."""
