"""Is a picture like those that a line was calibrated on: sharpness, light, place? And is it a new one at all? Pure."""
