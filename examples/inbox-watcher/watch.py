"""Never ends by itself. Asked to end, it finishes what it is doing and says so."""

import signal
import threading

import rpa

asked_to_end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())

pause = rpa.params().get("pause", 1)
looks = 0
print("watching the inbox; cancel the run to stop")
while not asked_to_end.wait(pause):
    looks += 1
    print(f"look {looks}: nothing new")

print("asked to end: closing the inbox")
rpa.artifact(f"looked {looks} times\n".encode(), "summary.txt")
rpa.result({"looks": looks})
