"""`python -m benchmarks`: what the platform costs, as ratios against raw baselines of the same run.

See docs/performance.md.
"""
