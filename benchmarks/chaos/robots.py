"""What the chaos runs. Every line is known beforehand; only the number of its start is the robot's own."""

LINES = 40
#: Its start leaves a mark that no other start leaves; its end leaves an artifact.
COUNTER = f"""
import pathlib, time, uuid
print("start", uuid.uuid4(), flush=True)
for number in range({LINES}):
    print("line", number, flush=True)
    time.sleep(0.03)
pathlib.Path("output/end.txt").write_text("end")
"""
#: Holds its slot until it is cancelled.
HOLDER = "import time\nwhile True: time.sleep(0.1)\n"
