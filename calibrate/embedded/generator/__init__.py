"""Scenes of the embedded model: objects made of surfaces, photographed, with or without a defect."""
