"""`python -m benchmarks.soak`: writers, sealers and readers under fire, and every delivery checked.

See docs/performance.md, "Streams under fire".
"""
