"""The API from outside: requests that are repeated until they are answered, and watchers that come again."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import httpx

_PAUSE_SECONDS = 0.1
_PATIENCE_SECONDS = 90.0
#: What a server or a proxy says that is only away for now.
_AWAY = {500, 502, 503, 504}


class Client:
    """Somebody with a key. The server may die under any of his requests."""

    def __init__(
        self, address: str, key: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=address,
            transport=transport,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(20),
            limits=httpx.Limits(max_connections=None),
        )
        self.repeated = 0

    async def close(self) -> None:
        await self._http.aclose()

    async def request(self, robot: str, key: str) -> str:
        """The id of the run: exactly one for each `key`, however often it takes."""
        answer = await self._surely(
            "POST", "/api/v1/executions/", json={"robot": robot}, headers={"Idempotency-Key": key}
        )
        return str(answer["id"])

    async def run(self, uid: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self._surely("GET", f"/api/v1/executions/{uid}/")
        return answer

    async def cancel(self, uid: str) -> None:
        await self._surely("POST", f"/api/v1/executions/{uid}/cancel/", also={409})

    async def events(self, uid: str) -> list[dict[str, Any]]:
        """The whole stream, page by page."""
        events: list[dict[str, Any]] = []
        while True:
            after = events[-1]["seq"] if events else 0
            page = await self._surely(
                "GET", f"/api/v1/executions/{uid}/events/", params={"after": after, "limit": 1000}
            )
            if not page["events"]:
                return events
            events += page["events"]

    async def artifacts(self, uid: str) -> list[str]:
        kept = await self._surely("GET", f"/api/v1/executions/{uid}/artifacts/")
        return [each["name"] for each in kept]

    async def watch(self, uid: str, seen: list[dict[str, Any]]) -> None:
        """Follow the stream to its end by server-sent events; whatever was delivered is in `seen`."""
        while True:
            try:
                if await self._follow(uid, seen):
                    return
            except httpx.HTTPError:
                self.repeated += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self, uid: str, seen: list[dict[str, Any]]) -> bool:
        headers = {"Last-Event-ID": str(seen[-1]["seq"])} if seen else {}
        path = f"/api/v1/executions/{uid}/stream"
        async with self._http.stream("GET", path, headers=headers) as answer:
            answer.raise_for_status()
            if answer.status_code == HTTPStatus.NO_CONTENT:
                return True  # its server died between the last event and `end`
            kind = ""
            async for line in answer.aiter_lines():
                name, _colon, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "end":
                    return True
                elif name == "data":
                    seen.append(json.loads(value))
        return False

    async def _surely(
        self, method: str, path: str, *, also: set[int] | None = None, **more: Any
    ) -> Any:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                try:
                    answer = await self._http.request(method, path, **more)
                    if answer.status_code not in _AWAY:
                        break
                except httpx.TransportError:
                    pass
                self.repeated += 1
                await asyncio.sleep(_PAUSE_SECONDS)
        if answer.status_code >= 400 and answer.status_code not in (also or set()):
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()
