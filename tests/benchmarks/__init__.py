"""What models and metrics are worth and cost, measured by hand: `python -m tests.benchmarks.NAME`."""
