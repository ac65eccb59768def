"""A run that has been started: its descriptors, its signals, its end."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from . import proc
from .remedies import remedy_for
from .resources import Group, Usage

_START_TIMEOUT = 20.0
_DEATH_TIMEOUT = 10.0
# linux/pidfd.h; since kernel 6.9.
_PIDFD_SIGNAL_PROCESS_GROUP = 4
_SIGXCPU_EXIT = 128 + signal.SIGXCPU


class SandboxUnavailable(Exception):
    """A run was refused because it could not be confined. It has not started."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        """`remedy` is what an operator can do about `reason`."""
        super().__init__(f"{reason} {remedy}".strip())
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. Exit codes are what the robot claims; the other facts are the kernel's.

    `exit_code` is None if the run was killed; `signal` is read from the exit code, as shells do. An exit
    code of None without a kill or a limit is a failure of the sandbox.
    """

    exit_code: int | None
    signal: int | None
    oom: bool
    cpu_limited: bool
    started: bool
    cpu_seconds: float | None
    memory_peak: int | None


class Process:
    """One confined run, from its first process until `close`.

    `stdout` and `stderr` are non-blocking; `pidfd` becomes readable when every process of the run is
    dead. Safe to use from any thread; the descriptors are the caller's to read until `close`.
    """

    def __init__(
        self,
        popen: "subprocess.Popen[bytes]",
        *,
        stdout: int,
        stderr: int,
        status: int,
        go: int,
        group: Group,
        cpu_limit: int | None,
        memory_limit: int,
    ) -> None:
        """Take over the process and the descriptors; `await_start` must follow."""
        self.stdout, self.stderr, self.status = stdout, stderr, status
        # Until its first process inside is known, bubblewrap stands for the run.
        self.pidfd = os.pidfd_open(popen.pid)
        self._popen = popen
        self._go = go
        self._init = popen.pid
        self._group = group
        self._cpu_limit = cpu_limit
        self._memory_limit = memory_limit
        self._status_text = b""
        self._lock = threading.RLock()
        self._closed = False
        self._started = False
        self._over_memory = self._over_cpu = False
        self._outcome: Outcome | None = None
        self._give_back: Callable[[], None] = lambda: None

    def await_start(self) -> None:
        """Wait until the sandbox is complete, then let the command go; else raise SandboxUnavailable."""
        deadline = time.monotonic() + _START_TIMEOUT
        while b"\n" not in self._status_text:
            if not proc.wait_readable(self.status, deadline - time.monotonic()):
                raise SandboxUnavailable("The sandbox did not start in time.")
            if not self._read_status():
                raise self._failure()
        init = int(json.loads(self._status_text.partition(b"\n")[0])["child-pid"])
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(init)
            if proc.parent(init) == self._popen.pid:
                os.close(self.pidfd)
                self.pidfd, self._init = pidfd, init
            else:  # it is dead, and its number may be another's already: bubblewrap is about to end
                os.close(pidfd)
        if not proc.wait_readable(self.stdout, deadline - time.monotonic()):
            raise SandboxUnavailable("The sandbox was not complete in time.")
        if not os.read(self.stdout, 1):  # exactly one byte: what follows is the robot's
            raise self._failure()
        try:
            os.write(self._go, b"\n")
        except BrokenPipeError as error:
            raise self._failure() from error
        self._started = True

    def on_close(self, give_back: Callable[[], None]) -> None:
        """What `close` does last."""
        self._give_back = give_back

    def terminate(self) -> None:
        """Ask the robot to end: SIGTERM to its main process and to that one's group."""
        with self._lock:
            if self._closed or self.is_dead():
                return
            main = proc.main_process(self._init)
            with suppress(ProcessLookupError):
                if main is not None and os.getpgid(main) != self._init:
                    os.kill(main, signal.SIGTERM)
            # The first process inside leads the group; it ignores the signal, as an init does.
            try:
                signal.pidfd_send_signal(
                    self.pidfd, signal.SIGTERM, None, _PIDFD_SIGNAL_PROCESS_GROUP
                )
            except ProcessLookupError:
                pass
            except OSError:  # before kernel 6.9
                with suppress(ProcessLookupError):
                    os.killpg(self._init, signal.SIGTERM)

    def kill(self) -> None:
        """Kill every process of the run. Returns at once; `wait_dead` tells when they are gone."""
        with self._lock:
            if not self._closed:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def is_dead(self) -> bool:
        """Whether every process of the run is gone."""
        return proc.wait_readable(self.pidfd, 0)

    def wait_dead(self, timeout: float) -> bool:
        """Wait until every process of the run is gone: only then may its files be collected."""
        deadline = time.monotonic() + timeout
        if not proc.wait_readable(self.pidfd, timeout):
            return False
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        self._reap()
        return True

    def check(self) -> bool:
        """Kill the run if it is over a limit that the kernel does not enforce; False once it is dead."""
        with self._lock:
            if self._closed or self.is_dead():
                return False
            usage = self._group.usage(self._init)
            self._judge(usage)
            if self._over_memory or self._over_cpu:
                self.kill()
            return True

    def outcome(self) -> Outcome:
        """How the run ended. Call it after `wait_dead`."""
        with self._lock:
            if self._outcome is None:
                self._outcome = self._read_outcome()
            return self._outcome

    def close(self) -> None:
        """Kill what is left, then free the descriptors and the slot. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self.kill()
            if not self.wait_dead(_DEATH_TIMEOUT):
                # Bubblewrap outside is stuck; its group is killed as the slot is given back.
                self._popen.kill()
                self._popen.wait()
                self._reap()
            self._closed = True
            for descriptor in (self.stdout, self.stderr, self.status, self.pidfd, self._go):
                os.close(descriptor)
        self._give_back()

    def _reap(self) -> None:
        """Take leave of the first process inside, where bubblewrap ended without doing so.

        A zombie counts against the limits of its cgroup, and not every host's init looks for them.
        """
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)

    def _judge(self, usage: Usage) -> None:
        if usage.oom_kills > 0 or (usage.memory or 0) > self._memory_limit:
            self._over_memory = True
        if self._cpu_limit is not None and (usage.cpu_seconds or 0.0) >= self._cpu_limit:
            self._over_cpu = True

    def _read_status(self) -> bool:
        """Take what bubblewrap wrote so far; False at the end of it."""
        try:
            text = os.read(self.status, 65536)
        except BlockingIOError:
            return True
        self._status_text += text
        return bool(text)

    def _read_outcome(self) -> Outcome:
        while proc.wait_readable(self.status, 0) and self._read_status():
            pass
        code = None
        for line in self._status_text.splitlines():
            with suppress(ValueError):
                code = json.loads(line).get("exit-code", code)
        usage = self._group.usage(self._init)
        self._judge(usage)
        return Outcome(
            exit_code=code,
            signal=code - 128 if code is not None and 128 < code <= 128 + 64 else None,
            oom=self._over_memory,
            cpu_limited=self._cpu_limit is not None and (self._over_cpu or code == _SIGXCPU_EXIT),
            started=self._started,
            cpu_seconds=usage.cpu_seconds,
            memory_peak=usage.memory_peak,
        )

    def _failure(self) -> SandboxUnavailable:
        """Why the chain ended before there was a run."""
        code = self._popen.wait()
        text = ""
        with suppress(BlockingIOError):
            text = os.read(self.stderr, 4096).decode(errors="replace").strip()
        reason = text or f"exit code {code}"
        return SandboxUnavailable(f"The sandbox did not start: {reason}.", remedy_for(text))
