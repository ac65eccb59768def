"""A fleet whose every part is killed, stopped or cut off while runs are in flight, judged from outside.

See docs/performance.md, "A fleet under fire".
"""
