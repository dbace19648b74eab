"""One self-contained page for one evaluated run: read the folder, count, draw, write."""
