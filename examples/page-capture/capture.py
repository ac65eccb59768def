"""Opens a page as a person's browser would, scripts and all, and keeps what it shows."""

import html
import re
import subprocess
from pathlib import Path

import rpa

CHROMIUM = "/usr/bin/chromium"
PAGE = Path("page.html").resolve().as_uri()


def chromium(*what):
    """Run the browser once. It is at home in the sandbox: no --no-sandbox."""
    always = [
        "--headless=new",
        "--disable-gpu",
        "--no-first-run",
        "--user-data-dir=/tmp/profile",
        "--virtual-time-budget=2000",
    ]
    done = subprocess.run(
        [CHROMIUM, *always, *what, PAGE], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise SystemExit(f"Chromium ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


width = rpa.params().get("width", 1024)
with rpa.step("Take the screenshot"):
    Path("output").mkdir(exist_ok=True)
    chromium(f"--window-size={width},720", "--hide-scrollbars", "--screenshot=output/page.png")
    print("screenshot:", Path("output/page.png").stat().st_size, "bytes")
rpa.progress(60, "screenshot taken")

with rpa.step("Read what the page shows"):
    shown = re.findall(r"<li>(.*?)</li>", chromium("--dump-dom"))
    lines = [html.unescape(line) for line in shown]
    print(*lines, sep="\n")
    rpa.artifact("\n".join(lines).encode(), "page.txt")
rpa.progress(100)
rpa.result({"shipments": lines})
