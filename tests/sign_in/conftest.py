"""Two providers: a real one, in a process of its own, and one of the tests, which signs whatever they want."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from jwt.algorithms import RSAAlgorithm

from accounts import issuer as issuers
from tests.factories import make_user

CLIENT = "rpa"
ZOE = {
    "sub": "8d0e7c2a-zoe",
    "email": "zoe@example.org",
    "email_verified": True,
    "preferred_username": "zoe",
    "given_name": "Zoë",
    "family_name": "Zu",
}
SLY = {"sub": "sly-1", "email": "alice@example.org", "email_verified": True, "name": "Sly"}


@dataclass
class RealProvider:
    address: str

    def knows(self, **claims: Any) -> None:
        subject = claims.pop("sub")
        httpx.put(f"{self.address}/users/{subject}", json=claims).raise_for_status()

    def answers(self, url: str, subject: str) -> str:
        """Sign in there as `subject`; where it sends the browser back to."""
        response = httpx.post(url, data={"sub": subject})
        assert response.status_code == 302, response.text
        return response.headers["Location"]


@pytest.fixture(scope="session")
def provider_process() -> Iterator[RealProvider]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    order = [
        sys.executable,
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-nonce",
        "true",
    ]
    process = subprocess.Popen(order, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        with suppress(httpx.TransportError):
            httpx.get(f"{address}/.well-known/openid-configuration").raise_for_status()
            break
        assert process.poll() is None
        assert time.monotonic() < deadline
    yield RealProvider(address)
    process.terminate()
    process.wait()


@pytest.fixture
def provider(provider_process: RealProvider, settings: Any) -> RealProvider:
    """The real one is configured; it knows zoe, and somebody with alice's address."""
    configure(settings, provider_process.address)
    for person in (ZOE, SLY):
        provider_process.knows(**person)
    return provider_process


def configure(settings: Any, address: str) -> None:
    issuers._known.clear()
    settings.RPA_OIDC_ISSUER = address
    settings.RPA_OIDC_CLIENT_ID = CLIENT
    settings.RPA_OIDC_CLIENT_SECRET = "a secret"
    settings.RPA_OIDC_NAME = "Casdoor"
    settings.RPA_OIDC_AUDIENCES = [CLIENT]
    settings.RPA_BASE_URL = "http://testserver"


@dataclass
class Signer:
    """A provider whose keys the tests have. `asked` is what was fetched from it."""

    address: str = ""
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False

    def new_key(self, kid: str) -> None:
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        whole = {
            "iss": self.address,
            "aud": CLIENT,
            "sub": "",
            "iat": now,
            "exp": now + 300,
            **changed,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def token(
        self, kid: str = "first", headers: dict[str, Any] | None = None, **changed: Any
    ) -> str:
        named = {"kid": kid, **(headers or {})}
        return jwt.encode(self.claims(**changed), self.keys[kid], "RS256", headers=named)

    def published(self) -> dict[str, Any]:
        """The keys as anybody may read them."""
        listed = []
        for kid, key in self.keys.items():
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            listed.append({**public, "kid": kid, "use": "sig", "alg": "RS256"})
        return {"keys": listed}

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if self.broken:
            return b"<html>Bad gateway"
        if path == "/keys":
            return json.dumps(self.published()).encode()
        parts = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "jwks_uri": "/keys",
        }
        named = {name: self.address + part for name, part in parts.items()}
        return json.dumps({"issuer": self.address, **named}).encode()


@pytest.fixture
def signer(settings: Any) -> Iterator[Signer]:
    made = Signer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.answer(self.path)
            self.send_response(502 if made.broken else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    made.new_key("first")
    configure(settings, made.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`patience(60)`: a minute passes for whoever waits before asking the provider again."""
    passed = [0.0]
    real = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + passed[0]

    monkeypatch.setattr(issuers, "time", Clock)

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


@pytest.fixture
def operator(permissions: None) -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client
