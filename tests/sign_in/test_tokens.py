"""Tokens of the identity provider in `Authorization: Bearer`: at every door, and nothing else that looks like one."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from channels.testing import WebsocketCommunicator
from cryptography.hazmat.primitives import serialization
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import issuer as issuers
from accounts.models import User
from audit.models import Entry
from executions.hub import hub
from executions.models import Execution
from rpa_platform.asgi import application
from tests.factories import make_user
from tests.interop.wire import Call
from tests.sign_in.conftest import CLIENT, RealProvider, Signer
from tests.sign_in.test_oidc import leave

pytestmark = pytest.mark.django_db
LIST = "/api/v1/executions/"


def asked(token: str, path: str = LIST) -> Any:
    return Client().get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def alice(people: dict[str, User]) -> str:
    """Her subject."""
    return people["alice"].uid


def test_a_real_providers_token_opens_the_api(provider: RealProvider) -> None:
    make_user("zoe", uid="8d0e7c2a-zoe")
    client = Client()
    back = httpx.URL(provider.answers(leave(client), "8d0e7c2a-zoe"))
    state = next(iter(client.session["socialaccount_states"].values()))[0]
    answer = httpx.post(
        f"{provider.address}/oauth2/token",
        data={
            "grant_type": "authorization_code",
            "code": back.params["code"],
            "redirect_uri": "http://testserver/login/oidc/callback/",
            "client_id": CLIENT,
            "client_secret": "a secret",
            "code_verifier": state["pkce_code_verifier"],
        },
    ).json()
    response = asked(answer["id_token"])
    assert (response.status_code, str(response.wsgi_request.user)) == (200, "zoe")
    assert (
        asked(answer["access_token"]).status_code == 401
    )  # this provider's have no form that tells


def test_a_token_is_its_subject(signer: Signer, alice: str, execution: Execution) -> None:
    assert asked(signer.token(sub=alice)).json()["results"]
    assert asked(signer.token(sub="nobody-here")).status_code == 401
    assert asked(signer.token(sub=alice.upper())).status_code == 401
    User.objects.filter(uid=alice).update(is_active=False)
    assert asked(signer.token(sub=alice)).status_code == 401


def by_secret(claims: dict[str, Any], secret: bytes) -> str:
    """Signed by HS256 with any secret, which libraries of good manners refuse to do."""
    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "kid": "first"}, claims)]
    signed = b".".join(urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    return (
        signed + b"." + urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    ).decode()


def hostile(signer: Signer, alice: str) -> dict[str, str]:
    now = signer.claims()["iat"]
    good = signer.claims(sub=alice)
    public = (
        signer.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    other = Signer(address=signer.address)
    other.new_key("first")
    header, payload, signature = signer.token(sub=alice).split(".")
    return {
        "unsigned": jwt.encode(good, None, "none"),
        "signed by what everybody has": by_secret(good, public),
        "of another key": other.token(sub=alice),
        "signature cut": f"{header}.{payload}.{signature[:-6]}",
        "no signature": f"{header}.{payload}.",
        "of another issuer": signer.token(sub=alice, iss="https://evil.example"),
        "without issuer": signer.token(sub=alice, iss=None),
        "for another": signer.token(sub=alice, aud="another-client"),
        "for nobody": signer.token(sub=alice, aud=None),
        "expired": signer.token(sub=alice, exp=now - 60),
        "for ever": signer.token(sub=alice, exp=None),
        "of tomorrow": signer.token(sub=alice, nbf=now + 600),
        "issued tomorrow": signer.token(sub=alice, iat=now + 600),
        "without subject": signer.token(sub=None),
        "of a key that is not there": signer.token(sub=alice, headers={"kid": "third"}),
        "that renews": signer.token(sub=alice, tokenType="refresh-token"),
        "that renews, by Keycloak": signer.token(sub=alice, typ="Refresh"),
        "that ends a session": signer.token(sub=alice, events={"logout": {}}),
        "of another kind": signer.token(sub=alice, headers={"typ": "logout+jwt"}),
        "not understood": signer.token(sub=alice, headers={"crit": ["exp"], "exp": 1}),
    }


def test_what_is_no_good_token_opens_nothing(signer: Signer, alice: str) -> None:
    for name, token in hostile(signer, alice).items():
        response = asked(token)
        assert response.status_code == 401, name
        assert response["Content-Type"] == "application/problem+json", name
    assert asked(signer.token(sub=alice)).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "..", "a.b.c", "e30.e30.e30", "x" * 20_000, "." * 3, "\udcff.e30.x",
        f"{'A' * 30_000}.e30.x", "eyJhbGciOiJSUzI1NiIsImtpZCI6e319.e30.x", "eyJhbGciOjF9.e30.x",
        "eyJhbGciOiJSUzI1NiJ9.bnVsbA.x",
    ],
)  # fmt: skip
def test_what_has_not_the_form_of_a_token_costs_the_provider_nothing(
    signer: Signer, people: dict[str, User], text: str
) -> None:
    response = asked(text.encode("utf-8", "surrogateescape").decode("latin-1"))
    assert response.status_code == 401
    assert signer.asked == [] or text.endswith("bnVsbA.x")


def test_keys_are_fetched_once(signer: Signer, alice: str) -> None:
    for _time in range(5):
        assert asked(signer.token(sub=alice)).status_code == 200
    assert signer.asked.count("/keys") == 1


def test_a_new_key_is_found_and_a_flood_of_made_up_ones_is_not_asked_for(
    signer: Signer, alice: str, patience: Callable[[float], None]
) -> None:
    assert asked(signer.token(sub=alice)).status_code == 200
    signer.new_key("second")
    patience(31)
    assert asked(signer.token("second", sub=alice)).status_code == 200
    asked_before = len(signer.asked)
    stranger = Signer(address=signer.address)
    for number in range(20):
        stranger.new_key(f"made-up-{number}") if number < 2 else None
        assert asked(stranger.token(f"made-up-{number % 2}", sub=alice)).status_code == 401
    assert len(signer.asked) == asked_before  # within half a minute of the last time
    patience(31)
    asked(stranger.token("made-up-0", sub=alice))
    assert len(signer.asked) == asked_before + 1


def test_a_provider_that_is_away_is_no_fault_of_the_sender(
    signer: Signer, alice: str, patience: Callable[[float], None]
) -> None:
    signer.broken = True
    response = asked(signer.token(sub=alice))
    assert response.status_code == 503
    assert response.json()["code"] == "identity_provider_unavailable"
    assert asked("x" * 40).status_code == 401  # keys are asked of nobody else
    signer.broken = False
    assert asked(signer.token(sub=alice)).status_code == 503  # not asked again at once
    patience(31)
    assert asked(signer.token(sub=alice)).status_code == 200
    signer.broken = True
    patience(3601)
    assert asked(signer.token(sub=alice)).status_code == 200  # what is known is still good
    patience(24 * 3600)
    assert asked(signer.token(sub=alice)).status_code == 503


def test_scopes_of_ours_limit_and_others_do_not(
    signer: Signer, alice: str, execution: Execution
) -> None:
    body = json.dumps({"robot": str(execution.robot.uid)})

    def run(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        post = Client().post(LIST, body, content_type="application/json", headers=headers)
        return int(post.status_code)

    assert run(signer.token(sub=alice, scope="openid profile")) == 201
    assert run(signer.token(sub=alice, scope="openid rpa:execution.run rpa:robot.view")) == 201
    narrow = signer.token(
        sub=alice, scope="openid rpa:space.view rpa:execution.view rpa:robot.view"
    )
    assert run(narrow) == 403
    assert asked(narrow).status_code == 200
    assert run(signer.token(sub=alice, scp=["rpa:*"])) == 201


def test_without_a_provider_a_token_is_nothing(signer: Signer, alice: str, settings: Any) -> None:
    settings.RPA_OIDC_ISSUER = ""
    assert asked(signer.token(sub=alice)).status_code == 401
    assert signer.asked == []


@pytest.mark.parametrize("jti", ["4f1c", "x" * 200, "", None])
def test_the_audit_names_the_token(
    signer: Signer, alice: str, execution: Execution, jti: str | None
) -> None:
    def sent(token: str) -> int:
        path = f"/api/v1/robots/{execution.robot.uid}/"
        headers = {"Authorization": f"Bearer {token}"}
        change = {"description": "new"}
        answer = Client().patch(path, change, "application/json", headers=headers)
        return int(answer.status_code)

    wide = signer.token(sub=alice, jti=jti)
    narrow = signer.token(sub=alice, jti=jti, scope="rpa:space.view rpa:robot.view")
    assert (sent(wide), sent(narrow)) == (200, 403)
    refused, done = Entry.objects.order_by("-number")[:2]
    assert (done.outcome, refused.outcome) == ("done", "refused")
    for entry, token in ((done, wide), (refused, narrow)):
        name = jti[:100] if jti else f"sha256:{hashlib.sha256(token.encode()).hexdigest()[:16]}"
        assert (entry.actor, entry.key_prefix, entry.details["token"]) == ("alice", "", name)
        assert token not in entry.detail


def test_the_price_of_a_token(signer: Signer, alice: str) -> None:
    token = signer.token(sub=alice)
    asked(token)
    with CaptureQueriesContext(connection) as queries:
        assert asked(token, "/api/v1/robots/").status_code == 200
    before = [each["sql"] for each in queries][:2]
    assert "socialaccount" in before[0]
    assert "accounts_user" in before[1]
    assert len(queries) <= 5


def test_the_streams_take_it_too(signer: Signer, alice: str, execution: Execution) -> None:
    path = reverse("execution-log", args=[execution.uid])
    assert asked(signer.token(sub=alice), path).status_code == 200
    assert asked(signer.token(sub="nobody"), path).status_code == 401
    signer.broken = True
    issuers._known.clear()
    assert asked(signer.token(sub=alice), path).status_code == 503


@pytest.mark.django_db(transaction=True)
async def test_run_a_robot_takes_it_too(signer: Signer, execution: Execution) -> None:
    async def said(token: str) -> str:
        nothing = {"project_id": "00000000-0000-0000-0000-000000000000"}
        call = await Call(nothing, token=f"Bearer {token}").open()
        return (await call.rest()).decode()

    assert "There is no robot" in await said(signer.token(sub=execution.requested_by.uid))
    assert "is unknown" in await said(signer.token(sub="nobody"))


@pytest.mark.django_db(transaction=True)
async def test_sockets_take_it_too(signer: Signer, execution: Execution) -> None:
    alice = execution.requested_by.uid

    async def closed_with(token: str) -> int:
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        path = f"/ws/executions/{execution.uid}/"
        socket = WebsocketCommunicator(application, path, headers=headers)
        await socket.connect(timeout=10)
        message: dict[str, Any] = await socket.receive_output(timeout=10)
        await socket.disconnect()
        return int(message["code"]) if message["type"] == "websocket.close" else 0

    assert await closed_with(signer.token(sub=alice)) == 0
    assert await closed_with(signer.token(sub="nobody")) == 4401
    signer.broken = True
    issuers._known.clear()
    assert await closed_with(signer.token(sub=alice)) == 1011
    hub().close()
