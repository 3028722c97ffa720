"""What the numbers mean: bundle in, verdict out.

Pure: no network, no clock, no randomness without a seed. Judging a bundle twice gives the same bytes.
"""
