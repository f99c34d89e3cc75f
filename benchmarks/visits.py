"""Requests as a stranger with a stopwatch sends them: one at a time, over connections that stay open."""

from __future__ import annotations

import http.client
import itertools
import re
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address
from urllib.parse import urlencode

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
CONNECTIONS = 4
#: Each request comes from an address of its own, counted up from here: what is counted by address is not in the way.
FIRST_ADDRESS = IPv4Address("10.0.0.1")


@dataclass(frozen=True)
class Shape:
    """What can be seen of an answer without reading it: names and lengths, never values that change each time."""

    status: int
    headers: tuple[tuple[str, int], ...]
    length: int

    def __str__(self) -> str:
        return f"{self.status}, {len(self.headers)} headers, {self.length} bytes"


@dataclass(frozen=True)
class Answer:
    """``seconds``: from the first byte sent to the last one received."""

    seconds: float
    shape: Shape


class Stranger:
    """``host`` is the portal's name, ``server`` where it listens: the stranger stands in for the reverse proxy too."""

    def __init__(self, server: str, host: str) -> None:
        self.host = host
        self.connections = [http.client.HTTPConnection(server, timeout=60) for _ in range(CONNECTIONS)]
        self.turns = itertools.cycle(self.connections)  # in turn, so that none is idle until the server closes it
        self.sent: Counter[str] = Counter()
        self.cookies = ""
        self.tokens: dict[str, str] = {}

    def open_form(self, path: str) -> None:
        """Fetch what every post to this path carries: the cookie and the token of its form."""
        response, body = self._exchange(self.connections[0], "GET", path, None)
        if found := response.headers.get("Set-Cookie"):
            self.cookies = found.partition(";")[0]
        token = TOKEN.search(body.decode())
        if token is None:
            raise RuntimeError(f"{path} has no form (status {response.status})")
        self.tokens[path] = token[1]

    def post(self, path: str, form: dict[str, str]) -> Answer:
        """One measured request, over one of the connections."""
        body = urlencode({"csrfmiddlewaretoken": self.tokens[path], **form})
        connection = next(self.turns)
        if connection.sock is None:
            connection.connect()  # not part of the time
        start = time.perf_counter()
        try:
            response, content = self._exchange(connection, "POST", path, body)
        except (http.client.RemoteDisconnected, ConnectionError):
            # The web server closed the connection, idle or of a process that is replaced, before it read the request.
            self.sent["again"] += 1
            connection.close()
            connection.connect()
            start = time.perf_counter()
            response, content = self._exchange(connection, "POST", path, body)
        return Answer(time.perf_counter() - start, shape_of(response, content))

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        address = FIRST_ADDRESS + self.sent.total()
        self.sent[method] += 1
        headers = {
            "Host": self.host,
            "Origin": f"https://{self.host}",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": str(address),
            "Cookie": self.cookies,
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        }
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


def shape_of(response: http.client.HTTPResponse, content: bytes) -> Shape:
    """Without ``Connection``: it is for the reverse proxy, and says when a web process is about to be replaced."""
    headers = []
    for name, value in response.headers.items():
        if name.lower() == "connection":
            continue
        cookie = f" {value.partition('=')[0]}" if name.lower() == "set-cookie" else ""
        headers.append((name.lower() + cookie, len(value)))
    return Shape(response.status, tuple(sorted(headers)), len(content))
