"""HTTP exchanges with a model server: bounded, under a deadline, never redirected; failures by kind.

Knows HTTP alone, and so serves KServe's protocol and any other JSON API.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from pixelprobe_services.common import tracing
from pixelprobe_services.kserve.client import MAX_ANSWER_BYTES
from pixelprobe_services.kserve.endpoint import Endpoint
from pixelprobe_services.kserve.errors import (
    CallError,
    NoAnswerError,
    RefusedError,
    TimedOutError,
    TurnedAwayError,
    UnknownModelError,
    short,
)

_TURNED_AWAY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_LONGEST_WAIT_SECONDS = 86_400.0
_TIMED_OUT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_html(self) -> bool:
        """A page for people: a login, a proxy's error, a wrong address."""
        kind = self.headers.get("Content-Type", "")
        return kind.startswith(("text/html", "application/xhtml")) or self.content[
            :256
        ].lstrip().lower().startswith((b"<!doctype html", b"<html"))


class HttpSession:
    """One pool of connections to one server, opened with the first exchange."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.base = f"{'https' if endpoint.tls else 'http'}://{endpoint.address.rstrip('/')}"
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def exchange(
        self,
        place: str,
        method: str,
        path: str,
        *,
        timeout_seconds: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Send one request and read its answer; ``place`` begins the message of a failure.

        Raises:
            NoAnswerError: no answer; TimedOutError where the deadline passed, TurnedAwayError where no
                connection was made.
            RefusedError: a redirect, or an answer over MAX_ANSWER_BYTES.
        """
        session = self._connect(place)
        try:
            async with session.request(
                method,
                self.base + path,
                # As a stream, a large body does not block the event loop; its length is known all the same.
                data=io.BytesIO(body) if body else None,
                headers={**(headers or {}), **dict(tracing.carried())},
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                allow_redirects=False,  # a redirected query would be a second one
            ) as response:
                if 300 <= response.status < 400:
                    raise RefusedError(_redirect(place, response))
                content = await _bounded(response)
                if content is None:
                    raise RefusedError(f"{place}: the answer is over {MAX_ANSWER_BYTES} bytes")
                return HttpAnswer(response.status, response.headers, content)
        except TimeoutError as error:
            raise TimedOutError(f"{place}: no answer within {timeout_seconds:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            raise TurnedAwayError(f"{place}: its TLS certificate is not accepted: {short(reason)}") from error
        except aiohttp.ClientConnectorError as error:
            raise TurnedAwayError(f"{place}: {short(str(error))}") from error
        except aiohttp.ClientError as error:
            raise NoAnswerError(f"{place}: {short(str(error) or type(error).__name__)}") from error

    def refusal(self, place: str, answer: HttpAnswer) -> CallError:
        """What an answer of another status than 200 means."""
        message = f"{place}: HTTP {answer.status}: {_details(answer)}"
        if answer.status in _TURNED_AWAY:
            return TurnedAwayError(message, retry_after(answer.headers.get("Retry-After")))
        if answer.status in _TIMED_OUT:
            return TimedOutError(message)
        if answer.status == HTTPStatus.NOT_FOUND:
            return UnknownModelError(message)
        if answer.status == HTTPStatus.BAD_GATEWAY:
            return NoAnswerError(message)
        return RefusedError(message)

    def document(self, place: str, answer: HttpAnswer) -> Any:
        """The JSON document of an answer.

        Raises:
            RefusedError: it is none.
        """
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            kind = "an HTML page" if answer.is_html else "something else"
            raise RefusedError(
                f"{place}: {self.base} answers {kind} instead of JSON: {_details(answer)}"
            ) from error

    async def close(self) -> None:
        """Close all connections; exchanges under way fail. Idempotent."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _connect(self, place: str) -> aiohttp.ClientSession:
        if self._closed:
            raise NoAnswerError(f"{place}: the connection was closed")
        if self._session is None:
            context = self._endpoint.ssl_context()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=context or False),  # the batcher bounds the load
                # Without compression: it would save a few bytes of an answer and cost the server time.
                headers={"Accept-Encoding": "identity", **dict(self._endpoint.headers)},
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy(self.base),
            )
        return self._session


def retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header (a number or an HTTP date); None without one."""
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            return min(float(value), _LONGEST_WAIT_SECONDS)
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None if it is over MAX_ANSWER_BYTES; it may have no end."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            return None
    return bytes(content)


def _redirect(place: str, response: aiohttp.ClientResponse) -> str:
    target = urlsplit(response.headers.get("Location", ""))
    host = short(target.netloc or target.path or "nowhere", 100)
    return (
        f"{place}: HTTP {response.status}: redirects to {host}, which is not followed;"
        " put the final address into the targets file"
    )


def _details(answer: HttpAnswer) -> str:
    """What the server said, on one line."""
    if answer.is_html:
        return "an HTML page (a login, a proxy or a wrong address?)"
    try:
        document = json.loads(answer.content)
        details = document.get("error") or document.get("message") or document
    except (ValueError, AttributeError, RecursionError):
        details = answer.content[:4096].decode("utf-8", "replace")
    return short(str(details)) or "no details"


def _proxy(url: str) -> str | None:
    """The proxy that http_proxy, https_proxy and no_proxy ask for, as gRPC takes it."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
