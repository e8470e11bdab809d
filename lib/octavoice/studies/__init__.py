"""Trainings beside the main ones, and what is measured of them: ablations, rivals, the survey, the benchmark sets."""
