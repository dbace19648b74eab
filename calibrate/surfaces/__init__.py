"""Generated surfaces without a defect: textures, prints, boards, scans. Seeded, free of other people's images."""
