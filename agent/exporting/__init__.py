"""What people said of inspections, as a data set."""
