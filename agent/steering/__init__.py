"""What a running agent may be told: commands, what they change, and who did it."""
