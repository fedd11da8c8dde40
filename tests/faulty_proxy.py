"""A reverse proxy on loopback that breaks its share of requests, for the tests of remote storage.

Every `period`-th request brings the next kind of fault, in a seeded order; a fault waits for the first request it fits.
Faults may also be ordered for requests of choice (`order`), and something done when one comes by (`watch`). Writes go
through one at a time: the server behind checks a condition and stores in two steps, a real store in one.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("error", "slow_down", "refused", "lost_answer", "cut_answer", "slow")
"""500; 503 SlowDown; connection closed at once; done, but closed without an answer; closed in the middle of the answer's
body; answered late."""

_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>{}</Message></Error>"


@dataclass(frozen=True)
class Request:
    """What came by."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Fits = Callable[[Request], bool]


@dataclass
class FaultyProxy:
    """Forwards to `port` of loopback. `period` 0 breaks nothing but what is ordered."""

    port: int
    period: int = 0
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock, self._writes = threading.Lock(), threading.Lock()
        self._random = random.Random(self.seed)
        self._due: deque[str] = deque()
        self._coming: list[str] = []
        self._ordered: list[tuple[Fits, str]] = []
        self._watched: list[tuple[Fits, Callable[[], object]]] = []
        self.answer: Callable[[Request], tuple[int, bytes] | None] = lambda request: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def order(self, kind: str, fits: Fits, times: int = 1) -> None:
        """Break the next requests that fit."""
        self._ordered += [(fits, kind)] * times

    def watch(self, fits: Fits, do: Callable[[], object]) -> None:
        """Do something, once, when a request that fits has been served and before it is answered."""
        self._watched.append((fits, do))

    def fault_for(self, request: Request) -> str:
        """The kind of fault this request gets, "" for none."""
        with self._lock:
            self.requests.append(request)
            self.counts["requests"] += 1
            for entry in self._ordered:
                if entry[0](request):
                    self._ordered.remove(entry)
                    self.counts[entry[1]] += 1
                    return entry[1]
            if self.period and self.counts["requests"] % self.period == 0:
                if not self._coming:
                    self._coming = self._random.sample(KINDS, len(KINDS))
                self._due.append(self._coming.pop())
            for kind in self._due:
                if kind != "cut_answer" or request.method == "GET":
                    self._due.remove(kind)
                    self.counts[kind] += 1
                    return kind
            return ""

    def watched(self, request: Request) -> None:
        with self._lock:
            due = [entry for entry in self._watched if entry[0](request)]
            self._watched = [entry for entry in self._watched if entry not in due]
        for _, do in due:
            do()

    def forward(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        with self._writes if request.method in ("PUT", "POST", "DELETE") else threading.Lock():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request(request.method, request.path, request.body or None, request.headers)
                reply = connection.getresponse()
                return reply.status, reply.getheaders(), reply.read()
            finally:
                connection.close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def serve(self) -> None:
                request = Request(self.command, self.path, self._headers(), self._body())
                fault = proxy.fault_for(request)
                if fault == "refused":
                    self.close_connection = True
                elif fault == "error":
                    self._reply(500, [], _ERROR.format("InternalError", "We encountered an internal error.").encode())
                elif fault == "slow_down":
                    self._reply(503, [], _ERROR.format("SlowDown", "Please reduce your request rate.").encode())
                else:
                    if fault == "slow":
                        time.sleep(0.3)
                    made = proxy.answer(request)
                    status, headers, body = (made[0], [], made[1]) if made else proxy.forward(request)
                    proxy.watched(request)
                    if fault == "lost_answer":
                        self.close_connection = True
                        return
                    self._reply(status, headers, body, len(body) // 2 if fault == "cut_answer" else None)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

            def _headers(self) -> dict[str, str]:
                gone = ("transfer-encoding", "content-length", "connection", "expect")
                return {name: value for name, value in self.headers.items() if name.lower() not in gone}

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return body
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None = None) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                sizes = [value for name, value in headers if name.lower() == "content-length"]
                size = sizes[0] if self.command == "HEAD" and sizes else str(len(body))
                if status != 204:
                    self.send_header("Content-Length", size)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[:cut])
                if cut is not None:
                    self.close_connection = True

        return Handler
