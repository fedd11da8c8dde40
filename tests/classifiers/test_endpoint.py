"""The chat client against a server that misbehaves: what is tried again, what is not, waits, budget, and no key told."""

from __future__ import annotations

import email.utils
import threading
import time

import pytest
from chat_server import Act, chat_server

from classifiers.endpoint import Budget, BudgetSpent, CallFailed, Endpoint, EndpointError, Settings, Stopped, retry_after
from classifiers.rubric import load_rubric

MESSAGES = load_rubric("education").messages("doc", "k")
GOOD = ("say", '{"education": 3}')


def ask(script: list[Act], most: int = 0, tries: int = 4, **given: object):
    waits: list[float] = []
    with chat_server(lambda document, n: script[min(n, len(script) - 1)]) as (url, seen):
        settings = Settings(url, "m", timeout_s=0.3, tries=tries, **given)  # type: ignore[arg-type]
        endpoint = Endpoint(settings, Budget(most), waits.append)
        return endpoint.ask(MESSAGES), seen, waits, endpoint


@pytest.mark.parametrize(
    "fault", ["drop", "half", "hang", "html", "no_choices", ("status", 500), ("status", 503), ("status", 408)]
)
def test_a_passing_fault_is_tried_again(fault: Act) -> None:
    reply, seen, waits, endpoint = ask([fault, fault, GOOD])
    assert (reply.text, reply.prompt_tokens, reply.answer_tokens) == ('{"education": 3}', 100, 10)
    assert len(seen.requests) == 3 and len(waits) == 2 and sum(endpoint.retried.values()) == 2
    assert 0 <= waits[0] <= 1.0 and 0 <= waits[1] <= 2.0, "drawn from 0 to half a second times two to the number of the try"


def test_what_is_asked() -> None:
    _, seen, _, _ = ask([GOOD], answer_tokens=77)
    assert seen.requests[0] == {"model": "m", "messages": MESSAGES, "temperature": 0, "max_tokens": 77}


def test_the_endpoint_says_how_long_to_wait() -> None:
    _, seen, waits, _ = ask([("wait", 7), GOOD])
    assert len(seen.requests) == 2 and 6.5 < waits[0] < 8.1
    with pytest.raises(EndpointError, match="asks to wait 1000 s"):
        ask([("wait", 1000), GOOD])


def test_the_header_is_seconds_or_a_date() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after("5") == 5 and 25 < (retry_after(soon) or 0) < 35
    assert retry_after(email.utils.formatdate(0, usegmt=True)) == 0
    assert [retry_after(value) for value in (None, "soon", "-3", "²", "")] == [None] * 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_this_document_is_not_tried_again(status: int) -> None:
    with pytest.raises(CallFailed) as caught:
        ask([("status", status), GOOD])
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("status", "said"), [(401, "the key is not taken"), (403, "may not"), (404, "no such"), (302, "not followed")]
)
def test_what_no_call_can_mend_ends_it(status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(EndpointError, match=said) as caught:
        ask([("status", status), GOOD])
    assert "sk-secret" not in str(caught.value)


def test_after_the_last_try_the_call_has_failed() -> None:
    with pytest.raises(CallFailed, match="status 500"):
        ask([("status", 500)], tries=3)
    with pytest.raises(CallFailed, match="timeout"):
        ask(["hang"], tries=1)


def test_every_try_is_a_call_of_the_budget() -> None:
    with pytest.raises(BudgetSpent, match="2 calls made"):
        ask([("status", 500)], most=2)


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    _, seen, _, endpoint = ask([GOOD])
    assert seen.keys == ["Bearer sk-secret"] and "secret" not in repr(seen.requests)
    monkeypatch.setenv("OTHER", "sk-other")
    assert ask([GOOD], key_variable="OTHER")[1].keys == ["Bearer sk-other"]
    assert ask([GOOD], key_variable="UNSET")[1].keys == [None]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/v1", "wanted: http"),
        ("host:8000/v1", "wanted: http"),
        ("http://me:sk-secret@host/v1", "without a name or key"),
        ("https://host/v1?key=sk-secret", "without a name or key"),
        ("http://example.com/v1", "wanted: https, as a key would be sent"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(EndpointError, match=said) as caught:
        Endpoint(Settings(url, "m"), Budget(0))
    assert "sk-secret" not in str(caught.value)
    Endpoint(Settings("http://10.0.0.7:8000/v1", "m"), Budget(0))


def test_further_entries_of_a_request() -> None:
    _, seen, _, _ = ask([GOOD], request={"temperature": None, "max_tokens": None, "max_completion_tokens": 9})
    assert seen.requests[0] == {"model": "m", "messages": MESSAGES, "max_completion_tokens": 9}


def test_names_of_an_error_are_told_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    said = {"message": "with key sk-secret", "code": "unsupported_parameter", "param": "max_tokens", "type": "sk-secret"}
    with pytest.raises(CallFailed) as caught:
        ask([("refuse", {"error": said})])
    assert str(caught.value) == "status 400 (unsupported_parameter max_tokens)"
    for body in ({"error": "sk-secret"}, {"error": {**said, "code": "secret"}}, ["sk-secret"], {"error": {"code": 3}}):
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        with pytest.raises(CallFailed) as caught:
            ask([("refuse", body)])
        assert "secret" not in str(caught.value) and str(caught.value).startswith("status 400")


def test_a_reply_that_trickles_in_has_a_limit_too() -> None:
    with pytest.raises(CallFailed, match="timeout"):
        ask(["trickle"], tries=1)


def test_once_stopped_no_call_is_made() -> None:
    with chat_server(lambda document, n: ("status", 500)) as (url, seen):
        endpoint = Endpoint(Settings(url, "m", first_wait_s=60.0), Budget(0))
        timer = threading.Timer(0.3, endpoint.stop)
        timer.start()
        with pytest.raises(Stopped):
            endpoint.ask(MESSAGES)
        with pytest.raises(Stopped):
            endpoint.ask(MESSAGES)
        assert len(seen.requests) == 1 and endpoint.budget.made == 1


def test_a_server_of_ones_own_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask([GOOD])[0].text == '{"education": 3}'
