"""The baseline of a run: `python3 -c pass` in the same sandbox, with nothing of the platform around it."""

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from benchmarks.house import UID_BASE
from executions.sandbox import Profile, Sandbox, Spec, profile, seccomp


class Bare:
    """Starts the strict profile's bubblewrap by hand, without cgroups, tables, pipes to read or a watchdog."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o711)
        self._sandbox = Sandbox(folder, UID_BASE)
        # The probe prepares what every start needs, and says early if this host cannot confine at all.
        found = self._sandbox.probe()
        self._sandbox.close()
        if not found.ok:
            raise RuntimeError(f"This host cannot confine robots: {found.problems}")
        self._etc = self._sandbox.folder() / "etc"
        self._folder = folder
        self._filter = seccomp.program(Profile.STRICT)
        self._tools = self._sandbox.tools()

    def run(self, slot: int) -> float:
        """Seconds from the start to the end of the whole sandbox."""
        workspace = self._folder / str(slot)
        if not workspace.is_dir():
            workspace.mkdir(mode=0o700)
            os.chown(workspace, self._sandbox.uid(slot), -1)
        began = time.perf_counter()
        spec = Spec(command=("/usr/bin/python3", "-c", "pass"), workspace=workspace, slot=slot)
        with ExitStack() as stack:

            def opened(path: Path | str, flags: int) -> int:
                descriptor = os.open(path, flags | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                return descriptor

            def memory(content: bytes) -> int:
                descriptor = os.memfd_create("bench", os.MFD_CLOEXEC)
                stack.callback(os.close, descriptor)
                os.write(descriptor, content)
                os.lseek(descriptor, 0, os.SEEK_SET)
                return descriptor

            handles = profile.Handles(
                seccomp=memory(self._filter),
                status=opened(os.devnull, os.O_WRONLY),
                etc=opened(self._etc, os.O_PATH | os.O_DIRECTORY),
                workspace=opened(workspace, os.O_PATH | os.O_DIRECTORY),
            )
            options = profile.arguments(spec, handles)
            args = memory(b"".join(os.fsencode(each) + b"\0" for each in options))
            inside = profile.command(spec, prlimit=self._tools.prlimit, address_space=None)
            code = subprocess.Popen(
                [*self._identity(slot), self._tools.bwrap, "--args", str(args), "--", *inside],
                stdin=memory(b"\n"),
                stdout=subprocess.DEVNULL,
                env={},
                pass_fds=(
                    *(args, handles.seccomp, handles.status),
                    *(handles.etc, handles.workspace),
                ),
            ).wait()
        if code:
            raise RuntimeError(f"The bare sandbox ended with exit code {code}.")
        return time.perf_counter() - began

    def rate(self, at_once: int, runs: int) -> float:
        """Runs a second with `at_once` of them going on all the time."""
        tickets = count()
        failed: list[Exception] = []

        def work(slot: int) -> None:
            try:
                while next(tickets) < runs and not failed:
                    self.run(slot)
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the threads
                failed.append(error)

        threads = [threading.Thread(target=work, args=(slot,)) for slot in range(at_once)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return runs / (time.perf_counter() - began)

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def _identity(self, slot: int) -> list[str]:
        if os.geteuid() != 0:
            return []
        uid = str(self._sandbox.uid(slot))
        return [self._tools.setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--"]
