"""What a number of units can prove: exact binomial bounds, bootstrap intervals, and the scale of z. Pure."""
