"""Has a line changed since its calibration? Tests with a bounded false-alarm rate over the life of a profile."""
