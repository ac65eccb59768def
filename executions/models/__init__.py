"""Executions, their event streams, the queue in which they wait, and the runners that carry them out."""

from executions.models.fleet import DEFAULT_POOL, Lane, Pool, Runner, RunnerToken
from executions.models.queue import Gate, Retry, RunLimit, SpaceShare, Ticket
from executions.models.runs import Artifact, Execution, robots_watched_by
from executions.models.streams import (
    ExecutionEvent,
    ExecutionSegment,
    ExecutionStream,
    SpaceRetention,
    UnclaimedObject,
)

__all__ = [
    "DEFAULT_POOL",
    "Artifact",
    "Execution",
    "ExecutionEvent",
    "ExecutionSegment",
    "ExecutionStream",
    "Gate",
    "Lane",
    "Pool",
    "Retry",
    "RunLimit",
    "Runner",
    "RunnerToken",
    "SpaceRetention",
    "SpaceShare",
    "Ticket",
    "UnclaimedObject",
    "robots_watched_by",
]
