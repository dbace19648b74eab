"""Profiles after they were made: another threshold, earlier versions, what differs."""
