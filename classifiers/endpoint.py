"""A client of an OpenAI-compatible chat endpoint that expects it to fail: time limits, back-off, a budget, no secrets told.

Source: the chat completions interface as OpenAI documents it and vLLM, llama.cpp and others serve it; back-off with full
jitter after Brooker (AWS Architecture Blog, 2015); Retry-After after RFC 9110, section 10.2.3.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import os
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from classifiers.examples import TrainingError

LONGEST_REPLY = 4 << 20
"""Bytes of a reply that are read; a longer one is a fault of the endpoint."""

LONGEST_WAIT_S = 120.0
"""Seconds a Retry-After may make us wait: one that asks for more ends the run, which can be resumed."""

SLOWEST_REPLY = 10
"""A try may take so many times its time limit in all: a server that sends a byte a minute would hold it for ever."""

PASSING = {408, 409, 425, 429}
"""Statuses under 500 that a later try may turn out better."""


class EndpointError(TrainingError):
    """The endpoint cannot be used: a wrong key, model or address, or it has failed too often in a row."""


class CallFailed(Exception):
    """One call failed for good. `status` is the HTTP status, 0 where there was none."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class Stopped(Exception):
    """The client was told to make no further calls."""


class BudgetSpent(Exception):
    """No call is left."""


@dataclass(frozen=True)
class Reply:
    """The text a model answered, and the tokens the endpoint says it took (0 where it says nothing)."""

    text: str
    prompt_tokens: int
    answer_tokens: int


class Budget:
    """Calls that may still be made, tries included; shared by threads. `most` 0: as many as it takes."""

    def __init__(self, most: int) -> None:
        self.most, self.made = most, 0
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Count a call before it is made. Raises BudgetSpent when none is left."""
        with self._lock:
            if self.most and self.made >= self.most:
                raise BudgetSpent(f"{self.made} calls made, as many as --most allows")
            self.made += 1


@dataclass(frozen=True)
class Settings:
    """`url`: up to and with /v1. `key_variable`: the environment variable that holds the key; an unset one sends none.
    `timeout_s`: of one try, between bytes. `tries` of a call; the wait before the n-th is drawn from 0 to
    `first_wait_s` * 2 ** n seconds, or what the endpoint asks for. `answer_tokens`: the longest answer asked for. `request`:
    further entries of the request, such as {"response_format": …}; a None takes an entry out."""

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    tries: int = 6
    first_wait_s: float = 0.5
    answer_tokens: int = 400
    request: Mapping[str, Any] = field(default_factory=dict)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another address."""

    def redirect_request(self, *given: Any, **more: Any) -> None:
        return None


class Endpoint:
    """Asks one model; may be used by many threads at once. `sleep`: what waits between tries, for tests. Raises EndpointError
    for an address or key that cannot do."""

    def __init__(self, settings: Settings, budget: Budget, sleep: Callable[[float], object] | None = None) -> None:
        parts = urllib.parse.urlsplit(settings.url)
        _ = parts.port  # a ValueError where it is no number
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise EndpointError(
                f"the endpoint\n  wanted: http(s)://HOST/v1, without a name or key in it\n  found:  {_plain(settings.url)}"
            )
        self._settings, self.budget = settings, budget
        self._over = threading.Event()
        self._sleep = sleep or self._over.wait
        self._key = os.environ.get(settings.key_variable, "").strip() if settings.key_variable else ""
        if self._key and parts.scheme == "http" and not _is_near(parts.hostname):
            hint = f"unset {settings.key_variable}, or use https"
            raise EndpointError(
                f"the endpoint\n  wanted: https, as a key would be sent\n  found:  http to {parts.hostname}\n  try:    {hint}"
            )
        if not (self._key.isascii() and self._key.isprintable()):
            raise EndpointError(f"the key in {settings.key_variable}\n  wanted: printable ASCII\n  found:  something else")
        # a server of one's own is reached directly, whatever proxy leads outside
        direct = [urllib.request.ProxyHandler({})] if _is_near(parts.hostname) else []
        self._opener = urllib.request.build_opener(_NoRedirect, *direct)
        self._quiet_until = 0.0
        self._lock = threading.Lock()
        self._jitter = random.Random(0)  # spreads calls over time; no result depends on it
        self.retried: dict[str, int] = {}

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        """The model's answer. Raises CallFailed when every try failed, EndpointError when no call can succeed, BudgetSpent and
        Stopped when none may be made."""
        body = {"model": self._settings.model, "messages": list(messages), "temperature": 0,
                "max_tokens": self._settings.answer_tokens, **self._settings.request}  # fmt: skip
        data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        failed: CallFailed | None = None
        for attempt in range(self._settings.tries):
            self._wait(attempt)
            if self._over.is_set():
                raise Stopped
            self.budget.spend()
            try:
                return self._try(data)
            except CallFailed as error:
                failed = error
                if not (error.status == 0 or error.status in PASSING or error.status >= 500):
                    break
                with self._lock:
                    name = f"status {error.status}" if error.status else str(error)
                    self.retried[name] = self.retried.get(name, 0) + 1
        assert failed is not None
        raise failed

    def stop(self) -> None:
        """Make no further calls: waits between tries end, what is under way is answered."""
        self._over.set()

    def _wait(self, attempt: int) -> None:
        """Before a further try a random while; before any, until the endpoint's own Retry-After is over."""
        with self._lock:
            asked = max(self._quiet_until - time.monotonic(), 0.0)
            # those that were asked to wait do not all come back in the same moment
            drawn = self._jitter.uniform(0, self._settings.first_wait_s * 2**attempt) if attempt or asked else 0.0
        if asked + drawn > 0:
            self._sleep(asked + drawn)

    def _try(self, data: bytes) -> Reply:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "curation"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        address = f"{self._settings.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, data=data, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._settings.timeout_s) as response:
                raw = _read(response, time.monotonic() + SLOWEST_REPLY * self._settings.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            name = "timeout" if isinstance(reason, TimeoutError) else f"connection: {type(reason).__name__}"
            raise CallFailed(name) from error
        return _reply(raw)

    def _refused(self, error: urllib.error.HTTPError) -> None:
        """Raise what a status means. Of the body only names of an error are told: some endpoints repeat the key in it."""
        if error.code in (401, 403, 404) or 300 <= error.code < 400:
            meaning = {401: "the key is not taken", 403: "the key may not do this", 404: "no such address or model"}
            said = meaning.get(error.code, "it sends elsewhere, which is not followed")
            raise EndpointError(f"the endpoint answered {error.code}: {said}\n  model: {self._settings.model}")
        wait = retry_after(error.headers.get("Retry-After"))
        if wait is not None and error.code in (429, 503):
            if wait > LONGEST_WAIT_S:
                raise EndpointError(
                    f"the endpoint asks to wait {wait:.0f} s (status {error.code}); run the same command again then"
                )
            with self._lock:
                self._quiet_until = max(self._quiet_until, time.monotonic() + wait)
        told = _error_names(error) if error.code in (400, 422) else ""
        shown = f" ({told})" if told and not (self._key and self._key in told) else ""
        raise CallFailed(f"status {error.code}{shown}", error.code)


def _read(response: Any, until: float) -> bytes:
    """A reply's bytes. Raises TimeoutError when it is not whole by then."""
    found = bytearray()
    while len(found) <= LONGEST_REPLY and (piece := response.read1(1 << 16)):
        found += piece
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(found)


def _error_names(error: urllib.error.HTTPError) -> str:
    """Type, code and parameter of an error as OpenAI words it, where they are plain names."""
    try:
        value = json.loads(error.read(1 << 16))["error"]
        names = [value.get(name) for name in ("code", "param", "type")]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, http.client.HTTPException, RecursionError):
        return ""
    return " ".join(name for name in names if isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_.]{0,60}", name))


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number of seconds or a date. None without one or one of no sense."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _reply(raw: bytes) -> Reply:
    """What the endpoint's JSON says. A reply of another form is a passing fault: proxies send pages of their own."""
    if len(raw) > LONGEST_REPLY:
        raise CallFailed("reply too long")
    try:
        value = json.loads(raw)
        message = value["choices"][0]["message"]["content"]
        usage = value.get("usage") or {}
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise CallFailed("reply of another form") from error
    counts = [t if isinstance(t, int) and not isinstance(t, bool) and t >= 0 else 0 for t in tokens]
    return Reply(message if isinstance(message, str) else "", counts[0], counts[1])


def _is_near(host: str) -> bool:
    """True for this machine and for addresses of a private network."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _plain(url: str) -> str:
    """The address without what may be a secret in it."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
