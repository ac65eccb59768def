"""Counts, with progress."""

import time

import rpa

given = rpa.params()
name, lines, pause = given.get("name", "world"), given.get("lines", 10), given.get("pause", 0.3)

print(f"Hello, {name}!")
for number in range(1, lines + 1):
    print(f"line {number} of {lines}")
    rpa.progress(100 * number / lines, f"{number} of {lines} lines")
    time.sleep(pause)
rpa.result({"greeted": name, "lines": lines})
