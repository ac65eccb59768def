"""Prints the time about ten times a second, for as many lines as asked."""

import json
import os
import random
import time

with open(os.environ["RPA_PARAMS_FILE"]) as file:  # noqa: PTH123
    lines = json.load(file)["lines"]
for number in range(lines):
    # Not exactly periodic: lines must fall anywhere into the platform's window for batches.
    time.sleep(random.uniform(0.05, 0.15))
    print("tick", number, time.time_ns())
