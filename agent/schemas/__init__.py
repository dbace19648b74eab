"""What files and messages look like, for editors and for other programs: made from the models, never by hand."""
