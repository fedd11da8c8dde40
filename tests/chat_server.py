"""A chat endpoint on loopback that can be told to misbehave: what it does with the n-th request of a document is a script."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Act = str | tuple[str, object]
"""What happens: "drop", "half", "hang", "trickle", "html", "no_choices", ("status", code), ("refuse", body), ("wait",
seconds), ("say", text)."""


@dataclass
class Seen:
    """What the server was asked."""

    requests: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    per_document: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0


def document_of(body: dict) -> str:
    """The text between the fences of a prompt."""
    fenced = re.search(r"^(=== DOCUMENT \w+ ===)\n(.*)\n\1$", body["messages"][1]["content"], re.S | re.M)
    assert fenced, body["messages"][1]
    return fenced[2]


@contextmanager
def chat_server(act: Callable[[str, int], Act], delay_s: float = 0.0) -> Iterator[tuple[str, Seen]]:
    """Serves until left; yields the address up to /v1 and what was seen. `act(document, n)`: for its n-th request, from 0."""
    seen, lock, over = Seen(), threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *given: object) -> None:
            return

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            document = document_of(body)
            with lock:
                number = seen.per_document[document]
                seen.per_document[document] += 1
                seen.requests.append(body)
                seen.keys.append(self.headers.get("Authorization"))
                seen.times.append(time.monotonic())
                seen.under_way += 1
                seen.most_under_way = max(seen.most_under_way, seen.under_way)
            try:
                time.sleep(delay_s)
                self.perform(act(document, number))
            finally:
                with lock:
                    seen.under_way -= 1

        def perform(self, asked: Act) -> None:
            name, value = (asked, None) if isinstance(asked, str) else asked
            if name == "drop":
                self.connection.close()
            elif name == "hang":
                over.wait(10)
            elif name == "trickle":
                self.reply(200, b"{", length=500)
                while not over.wait(0.1):
                    self.wfile.write(b" ")
            elif name == "half":
                self.reply(200, b'{"choices": [', length=500)
                self.connection.close()
            elif name == "html":
                self.reply(200, b"<html>bad gateway</html>")
            elif name == "no_choices":
                self.reply(200, b'{"choices": []}')
            elif name == "wait":
                self.reply(429, b"slow down", {"Retry-After": str(value)})
            elif name == "refuse":
                self.reply(400, json.dumps(value).encode())
            elif name == "status":
                self.reply(int(str(value)), b"no, and your key was sk-secret", {"Location": "http://127.0.0.1:9/v1"})
            else:
                usage = {"prompt_tokens": 100, "completion_tokens": 10}
                said = {"choices": [{"message": {"role": "assistant", "content": value}}], "usage": usage}
                self.reply(200, json.dumps(said).encode())

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(length or len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
