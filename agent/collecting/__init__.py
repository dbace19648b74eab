"""Normal frames of a line to a folder of units that `calibrate` reads."""
