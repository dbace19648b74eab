"""A detector over a labelled data set: numbers, verdicts, the worst pictures, and two such runs compared."""
