"""A line's images -> its profile: which units do what, the statistic, the threshold and its guarantee."""
