"""`manage.py export_audit`, and the same from the admin: what is asked for, whole, for programs and tables."""

import csv
import hashlib
import json
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from audit import export
from audit.models import Entry
from audit.recording import tell
from audit.scenes import Who
from tests.audit.entries import forget_everything
from tests.commands.calling import called
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def told() -> None:
    forget_everything()
    tell("test.one", who=Who("a", "alice"), words="=1+1")
    tell("test.two", who=Who("b", "=bob"))


def digest_of(entry: dict[str, Any]) -> str:
    """As docs/audit.md tells others to work it out."""
    values = [value for name, value in entry.items() if name != "digest"]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def test_json_lines_can_be_verified_by_others(told: None) -> None:
    first, second = map(json.loads, called("export_audit").splitlines())
    assert (first["action"], first["detail"]) == ("test.one", '{"words":"=1+1"}')
    assert second["previous"] == first["digest"] == digest_of(first)
    assert second["digest"] == digest_of(second)


def test_an_export_ends_where_the_chain_had_come_to_when_it_began(
    told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB may show an entry before the one that its writer had waited for: gone on from it, that one is missed."""
    monkeypatch.setattr(export, "_PAGE", 2)
    tell("test.three", who=Who("c", "carol"))
    last = Entry.objects.get(number=3)
    last.number, last._state.adding = 5, True
    last.save()
    exported = [json.loads(line)["number"] for line in called("export_audit").splitlines()]
    assert exported == [1, 2, 3]


def test_a_table_holds_no_formula(told: None) -> None:
    head, first, second = csv.reader(StringIO(called("export_audit", "--format", "csv")))
    assert head[:2] == ["number", "at"]
    assert (first[head.index("actor")], second[head.index("actor")]) == ("alice", "'=bob")


@pytest.mark.parametrize(
    ("option", "value", "count"),
    [
        ("--actor", "alice", 1),
        ("--actor", "b", 1),
        ("--action", "test.two", 1),
        ("--outcome", "refused", 0),
        ("--object", "robots.robot:7", 0),
        ("--since", "2100-01-01", 0),
        ("--until", "2100-01-01T08:00+08:00", 2),
    ],
)
def test_it_prints_what_is_asked_for(told: None, option: str, value: str, count: int) -> None:
    assert len(called("export_audit", option, value).splitlines()) == count


def test_the_admin_exports_what_it_lists(told: None, client: Client) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = reverse("admin:audit_entry_changelist")
    assert reverse("admin:audit_entry_export", args=["csv"]) in client.get(page).content.decode()
    response: Any = client.get(reverse("admin:audit_entry_export", args=["jsonl"]), {"q": "alice"})

    async def whole() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    (line,) = async_to_sync(whole)().splitlines()
    assert json.loads(line)["action"] == "test.one"
    assert client.get(reverse("admin:audit_entry_export", args=["xml"])).status_code == 404
    stan = Client()
    stan.force_login(make_user("stan", is_staff=True))
    assert stan.get(reverse("admin:audit_entry_export", args=["csv"])).status_code == 403
