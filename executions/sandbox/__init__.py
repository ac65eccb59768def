"""Runs untrusted commands in a bubblewrap sandbox, or refuses to."""

from .launch import Sandbox
from .probe import Probe, Problem
from .process import Outcome, Process, SandboxUnavailable
from .spec import LIMITS, Limits, Profile, Spec

__all__ = [
    "LIMITS",
    "Limits",
    "Outcome",
    "Probe",
    "Problem",
    "Process",
    "Profile",
    "Sandbox",
    "SandboxUnavailable",
    "Spec",
]
