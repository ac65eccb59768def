"""`manage.py explain_access`: the reasons, and an exit code for scripts."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import ApiKey, User
from spaces.models import Space
from tests.commands.calling import called


def asked(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("explain_access", *options, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_it_says_why_and_ends_with_the_answer(people: dict[str, User], space: Space) -> None:
    where = ["--space", str(space.pk), "--permission", "robot.delete"]
    code, said = asked("--user", "alice", *where)
    assert (code, said.splitlines()[-1]) == (0, "alice may robot.delete in Orders.")
    assert "+ alice is a member in the role Owner." in said
    code, said = asked("--user", people["bob"].uid, *where)
    assert (code, said.splitlines()[-1]) == (1, "bob may not robot.delete in Orders.")
    assert "- The row does not grant robot.delete to the role Member." in said
    code, said = asked("--user", "charlie", *where)
    assert code == 1
    assert "- charlie is no member of the space." in said
    key, _secret = ApiKey.issue(user=people["alice"], name="narrow", scopes=["robot.view"])
    code, said = asked("--user", "alice", "--key", key.prefix, *where)
    assert code == 1
    assert "- The API key's scopes do not include robot.delete." in said


def test_it_refuses_what_is_not_there(people: dict[str, User], space: Space) -> None:
    where = ["--space", str(space.pk), "--permission", "robot.view"]
    for options in (
        ["--user", "nobody", *where],
        ["--user", "alice", "--key", "abcdefgh", *where],
        ["--user", "alice", "--space", "987654", "--permission", "robot.view"],
        ["--user", "alice", "--space", str(space.pk), "--permission", "no.such"],
    ):
        with pytest.raises(CommandError):
            called("explain_access", *options)


def test_it_says_why_in_an_enterprise(people: dict[str, User], space: Space) -> None:
    where = ["--enterprise", str(space.enterprise_id), "--permission", "enterprise.rename"]
    code, said = asked("--user", "alice", *where)
    assert (code, said.splitlines()[-1]) == (0, "alice may enterprise.rename in Acme.")
    assert "+ alice is a member in the role Officer." in said
    code, said = asked("--user", "bob", *where)
    assert (code, said.splitlines()[-1]) == (1, "bob may not enterprise.rename in Acme.")
    assert "- The row does not grant enterprise.rename to the role Staff." in said
    code, said = asked("--user", "charlie", *where)
    assert (code, "- charlie is no member of the enterprise." in said) == (1, True)
    for options in (
        [*where[:2], "--permission", "robot.run"],
        [*where[:2], "--permission", "execution.run"],
        ["--space", str(space.pk), "--permission", "enterprise.rename"],
        ["--enterprise", "987654", "--permission", "enterprise.rename"],
        [*where, "--space", str(space.pk)],
    ):
        with pytest.raises(CommandError):
            called("explain_access", "--user", "alice", *options)
