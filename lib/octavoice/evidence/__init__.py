"""What runs show: likelihoods, baselines, statistics of samples, harmony, the small studies."""
