"""What is stored beside a model: adapters, profiles, imported checkpoints, and whether they are compatible."""
