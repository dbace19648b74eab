"""What a number of units can prove: exact binomial bounds and bootstrap. Pure."""
