"""Every websocket of the house, opened by everybody."""

import json
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client

from accounts.models import User
from enterprises.models import EnterpriseRole
from executions.hub import hub
from executions.news import news
from rpa_platform.asgi import application
from rpa_platform.routing import websocket_urlpatterns
from spaces.models import Space, SpaceRole
from tests.access.house import ACTORS, House, bound_key, build_house
from tests.access.test_role_walk import ROLES
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

NOT_SIGNED_IN, NOT_FOUND, OPEN = 4401, 4404, 0
#: Pattern -> what each of house.ACTORS meets: the close code, or OPEN where events are sent.
SOCKETS: dict[str, list[int]] = {
    # Whoever is signed in has something to watch; what exactly is asked for each subscription.
    "ws/": [NOT_SIGNED_IN, OPEN, OPEN, OPEN, OPEN, *[NOT_SIGNED_IN] * 3, OPEN, OPEN],
    "ws/executions/<uuid:uid>/": [
        NOT_SIGNED_IN,
        NOT_FOUND,
        NOT_FOUND,
        OPEN,
        OPEN,
        NOT_SIGNED_IN,
        NOT_SIGNED_IN,
        NOT_SIGNED_IN,
        OPEN,
        OPEN,
    ],
    "": [NOT_FOUND] * len(ACTORS),
}


def test_every_socket_is_in_the_table() -> None:
    assert {str(each.pattern) for each in websocket_urlpatterns} == set(SOCKETS)


async def meet(house: House, actor: str, path: str, origin: str = "http://localhost") -> int:
    """The close code that `actor` gets at `path`, or OPEN once an event has come."""
    headers = [(b"host", b"localhost"), (b"origin", origin.encode())]
    if actor in house.keys:
        headers.append((b"authorization", f"Bearer {house.keys[actor]}".encode()))
    cookies = "; ".join(
        f"{name}={each.value}" for name, each in house.clients[actor].cookies.items()
    )
    if cookies:
        headers.append((b"cookie", cookies.encode()))
    socket = WebsocketCommunicator(application, path, headers=headers)
    accepted, code = await socket.connect(timeout=10)
    if not accepted:
        return int(code or 0)
    if path == "/ws/":
        await socket.send_to(text_data='{"op": "subscribe", "id": "1", "topic": "home"}')
    message: dict[str, Any] = await socket.receive_output(timeout=10)
    await socket.disconnect()
    return int(message["code"]) if message["type"] == "websocket.close" else OPEN


async def subscribed(house: House, actor: str, **topic: Any) -> str:
    """What `actor` is told of a subscription."""
    headers = [(b"host", b"localhost")]
    if actor in house.keys:
        headers.append((b"authorization", f"Bearer {house.keys[actor]}".encode()))
    cookie = house.clients[actor].cookies.get("sessionid")
    if cookie is not None:
        headers.append((b"cookie", f"sessionid={cookie.value}".encode()))
    socket = WebsocketCommunicator(application, "/ws/", headers=headers)
    await socket.connect(timeout=10)
    await socket.send_to(text_data=json.dumps({"op": "subscribe", "id": "1", **topic}))
    frame: dict[str, Any] = json.loads(await socket.receive_from(timeout=10))
    await socket.disconnect()
    return str(frame.get("code") or frame["type"])


@pytest.mark.parametrize(
    ("actor", "sees"),
    [
        ("stranger", False),
        ("foreign", False),
        ("expired", True),
        ("scoped", True),
        ("owner", True),
        ("operator", True),
    ],
)
async def test_only_those_who_see_a_thing_can_subscribe_to_it(
    house: House, actor: str, sees: bool
) -> None:
    things = house.seen_by(actor)
    topics = [
        ({"topic": "execution", "execution": str(things.execution.uid)}, "events"),
        ({"topic": "space", "space": things.space.pk}, "changed"),
    ]
    for topic, answer in topics:
        assert await subscribed(house, actor, **topic) == (answer if sees else "not_found")
    hub().close()
    news().close()


async def test_every_socket_answers_as_the_table_says(house: House) -> None:
    for actor in ACTORS:
        uid = house.seen_by(actor).execution.uid
        paths = {
            "ws/": "/ws/",
            "ws/executions/<uuid:uid>/": f"/ws/executions/{uid}/",
            "": "/ws/nowhere/",
        }
        found = {pattern: await meet(house, actor, path) for pattern, path in paths.items()}
        assert found == {each: row[ACTORS.index(actor)] for each, row in SOCKETS.items()}, actor
        if actor != "anonymous" and found["ws/executions/<uuid:uid>/"] != NOT_SIGNED_IN:
            assert await meet(house, actor, f"/ws/executions/{uuid4()}/") == NOT_FOUND
    hub().close()
    news().close()


@pytest.mark.parametrize("inside", [True, False])
async def test_a_key_of_a_space_opens_what_is_in_it(
    house: House, people: dict[str, User], space: Space, inside: bool
) -> None:
    house.keys["bound"] = await sync_to_async(bound_key)(space, inside=inside)
    house.clients["bound"] = Client()
    topics = [
        ({"topic": "execution", "execution": str(house.things.execution.uid)}, "events"),
        ({"topic": "space", "space": space.pk}, "changed"),
    ]
    for topic, answer in topics:
        assert await subscribed(house, "bound", **topic) == (answer if inside else "not_found")
    path = f"/ws/executions/{house.things.execution.uid}/"
    assert await meet(house, "bound", path) == (OPEN if inside else NOT_FOUND)
    hub().close()
    news().close()


async def test_another_sites_page_opens_no_socket(house: House) -> None:
    for path in ("/ws/", f"/ws/executions/{house.things.execution.uid}/"):
        code = await meet(house, "owner", path, origin="http://evil.example")
        assert code not in (OPEN, NOT_FOUND, NOT_SIGNED_IN)
    hub().close()
    news().close()


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_hears_what_the_table_lets_it_view(
    people: dict[str, User], space: Space, role: str
) -> None:
    firm, room = ROLES[role]
    house = await sync_to_async(furnished)(people, space, role, firm, room)
    sees = room is not None
    topics = [
        ({"topic": "execution", "execution": str(house.things.execution.uid)}, "events"),
        ({"topic": "space", "space": house.things.space.pk}, "changed"),
    ]
    for topic, answer in topics:
        assert await subscribed(house, role, **topic) == (answer if sees else "not_found")
    path = f"/ws/executions/{house.things.execution.uid}/"
    assert await meet(house, role, path) == (OPEN if sees else NOT_FOUND)
    hub().close()
    news().close()


def furnished(
    people: dict[str, User],
    space: Space,
    role: str,
    firm: EnterpriseRole,
    room: SpaceRole | None,
) -> House:
    house = build_house(people, space)
    user = make_user(f"the {role}")
    house.things.enterprise.members.create(user=user, role=firm)
    if room is not None:
        space.members.create(user=user, role=room)
    house.clients[role] = Client()
    house.clients[role].force_login(user)
    return house
