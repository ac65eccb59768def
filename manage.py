#!/usr/bin/env python
"""The command line of the platform: `manage.py help` lists what it can do."""

import getpass
import os
import sys


def _account() -> str:
    """The account of the machine that has typed the command; services may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rpa_platform.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    from audit.choices import Door
    from audit.scenes import Scene, Who, scene

    try:
        with scene(Scene(Door.COMMAND, who=Who(name=f"{_account()} (shell)"))):
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration: {error}")
    except (OperationalError, ProgrammingError) as error:
        from rpa_platform.schema import remedy_of_refusal

        # Most often it is not migrated, or not there.
        sys.exit(f"The database refused: {error}. {remedy_of_refusal()}")


if __name__ == "__main__":
    main()
