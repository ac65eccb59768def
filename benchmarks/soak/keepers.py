"""Those beside the writers: sealers that work far more often than need be, and an operator who interferes."""

import random
import time
from multiprocessing.connection import Connection

from django.db import Error, connection
from django.utils import timezone

from benchmarks.soak.script import probe
from benchmarks.soak.tally import Tally
from executions import lifecycle, sealing
from executions.choices import EventKind
from executions.events import Draft, StreamClosed, append
from executions.models import Execution


def seal(pipe: Connection, seed: int) -> None:
    """Seal for ever, in tiny segments; several at once is what it is for."""
    # So that a run of some hundred KiB is a row of segments, and each of these some members.
    sealing.SEAL_BYTES = 16 * 1024
    sealing.SEGMENT_BYTES = 48 * 1024
    sealing.MEMBER_BYTES = 12 * 1024
    sealing.SLICE = 7
    dice, tally = random.Random(seed), Tally(pipe)
    while True:
        try:
            tally.count(sealed=sealing.seal_due())
        except Error:
            connection.close()
            tally.count(database_errors=1)
        tally.tell()
        time.sleep(dice.random() / 5)


def operate(pipe: Connection, seed: int) -> None:
    """Say something into running runs, and cancel one now and then: no token, no offset."""
    dice, tally = random.Random(seed), Tally(pipe)
    number = 0
    while True:
        time.sleep(dice.random() / 5)
        try:
            number += 1
            runs = [*Execution.objects.unfinished()]
            if runs:
                _interfere(dice.choice(runs), f"{seed}{number}", dice, tally)
        except (StreamClosed, lifecycle.WrongMoment):
            pass  # it has ended meanwhile
        except Error:
            connection.close()
            tally.count(database_errors=1)
        tally.tell()


def _interfere(run: Execution, number: str, dice: random.Random, tally: Tally) -> None:
    if dice.random() < 0.01:
        lifecycle.request_cancel(run, by=None, at=timezone.now())
        return
    note = {"code": "probe", "message": probe(str(run.uid), int(number))}
    append(run.pk, [Draft(EventKind.NOTICE, note)])
    tally.count(notices=1)
