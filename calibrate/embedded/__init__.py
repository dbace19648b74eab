"""How the embedded model and the sample data were made: generated scenes, pretraining, samples."""
