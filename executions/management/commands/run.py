import json
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.actors import Actor
from accounts.refusals import Refused
from executions import engine, services
from executions.choices import Origin, Status
from executions.events import head_of, read_page
from executions.lifecycle import WrongMoment
from executions.models import Execution, Runner
from robots.models import Robot
from spaces.selection import add_user_option, chosen_actor

_POLL_SECONDS = 0.1
_INTERRUPTED = 130


class Command(BaseCommand):
    help = "Run a robot. With --follow, show its output and end with its exit code."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("robot", help="the robot's name or id")
        parser.add_argument(
            "-p",
            "--param",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a parameter; VALUE is JSON, or text if it is no JSON. May be repeated",
        )
        parser.add_argument("--task", default="", help="the task, if the robot has several")
        parser.add_argument("--timeout", type=int, help="the time limit in seconds")
        parser.add_argument("--follow", action="store_true", help="watch it to its end")
        add_user_option(parser)

    def handle(
        self,
        *,
        robot: str,
        param: list[str],
        task: str,
        timeout: int | None,
        follow: bool,
        user: str,
        **options: Any,
    ) -> None:
        actor = chosen_actor(user)
        try:
            execution = services.request_execution(
                robot=_found(robot, actor),
                by=actor,
                origin=Origin.COMMAND,
                params=dict(_param(text) for text in param),
                task=task,
                timeout_seconds=timeout,
            ).execution
        except Refused as error:
            raise CommandError(str(error)) from error
        if not follow:
            self.stdout.write(str(execution.uid))
            if not Runner.objects.alive().exists():
                self.stderr.write("It waits: no runner is alive. Start one: manage.py serve")
            return
        sys.exit(self._follow(execution, actor))

    def _follow(self, execution: Execution, actor: Actor) -> int:
        """Show the run, and carry it out here if no server does. Ctrl-C cancels it, the second one leaves."""
        asked = threading.Event()

        def interrupt(_number: int, _frame: object) -> None:
            if asked.is_set():
                raise KeyboardInterrupt
            asked.set()

        before = signal.signal(signal.SIGINT, interrupt)
        self._carry_out(execution)
        try:
            self._show(execution, actor, asked)
            while (again := Execution.objects.filter(retry__failed=execution).first()) is not None:
                self.stderr.write(f"[retry] {again.uid}")
                execution = again
                self._carry_out(execution)
                self._show(execution, actor, asked)
        except KeyboardInterrupt:
            return _INTERRUPTED
        finally:
            engine.stop()
            signal.signal(signal.SIGINT, before)
        execution.refresh_from_db()
        if execution.status != Status.COMPLETED:
            why = execution.message or execution.get_failure_reason_display()
            self.stderr.write(f"{execution.get_status_display()}: {why}")
        if execution.status == Status.CANCELLED:
            return _INTERRUPTED  # whatever the signal made of the robot
        if execution.status == Status.COMPLETED:
            return 0
        return execution.exit_code or 1

    def _carry_out(self, execution: Execution) -> None:
        """Where a server has the engine, it sees the run within a moment; without one, it is ours.

        A fleet's runners are machines of their own kind: what runs there need not run here.
        """
        engine.stop()
        if settings.RPA_ENGINE != "celery":
            engine.start_when_free(slots=1, only=execution.pk)

    def _show(self, execution: Execution, actor: Actor, asked: threading.Event) -> None:
        after, cancelled = 0, False
        while True:
            head = head_of(execution.pk)
            while after < head.last_seq:
                for frame in read_page(execution.pk, after=after, up_to=head.last_seq):
                    self._print(json.loads(frame.text))
                    after = frame.seq
            if head.closed:
                return
            if cancelled:
                time.sleep(_POLL_SECONDS)
            elif asked.wait(_POLL_SECONDS):
                cancelled = True
                with suppress(WrongMoment):
                    services.cancel_execution(execution, by=actor)

    def _print(self, event: dict[str, Any]) -> None:
        data = event["data"]
        match event["kind"]:
            case "log":
                out = self.stdout if data["stream"] == "stdout" else self.stderr
                for line in data["lines"]:
                    out.write(line)
                out.flush()
            case "progress":
                self.stderr.write(f"[{data['percent']:.0f} %] {data['message']}".rstrip())
            case "step" if data["state"] != "started":
                self.stderr.write(f"[{data['type']}] {data['name']}: {data['state']}")
            case "artifact":
                self.stderr.write(f"[artifact] {data['name']} ({data['size']} bytes)")
            case "result":
                self.stderr.write(f"[result] {json.dumps(data['value'], ensure_ascii=False)}")
            case "notice":
                self.stderr.write(f"[notice] {data['message']}")


def _found(name: str, actor: Actor) -> Robot:
    robots = Robot.objects.visible_to(actor).select_related("space__enterprise", "enabled_version")
    try:
        found = list(robots.filter(uid=UUID(name)))
    except ValueError:
        found = list(robots.filter(name=name)[:2])
    if not found:
        raise CommandError(f"{actor.user} sees no robot named {name}.")
    if len(found) > 1:
        raise CommandError(f"Several robots are named {name}: use the id of one.")
    return found[0]


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"-p {text}: write it as KEY=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
