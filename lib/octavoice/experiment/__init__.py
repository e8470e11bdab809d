"""Presets, training, likelihoods, statistics of samples, harmony, provenance: what the notebooks drive."""
