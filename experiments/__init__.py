"""What we break: Chaos Toolkit experiments, their actions and probes, faults, leases and guards.

Holds no thresholds: whether a recovery was fast enough is for `analysis`.
"""
