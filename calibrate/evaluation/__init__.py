"""A detector over a labelled data set: numbers, verdicts, the worst images, and two such runs compared."""
