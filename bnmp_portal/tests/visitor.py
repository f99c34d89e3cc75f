"""Somebody at the portal's real processes, over HTTP: one browser's cookies and the forms it fills in."""

from __future__ import annotations

import http.cookiejar
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    page: str

    @property
    def leads_to(self) -> str:
        """Path and query of a redirect, nothing where there is none."""
        address = urllib.parse.urlsplit(self.headers.get("location", ""))
        return address._replace(scheme="", netloc="").geturl()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


class Visitor:
    """Follows no redirect by itself. ``trust``: the file with the certificate of an https server."""

    def __init__(self, url: str, *, trust: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.url, self.trust = url, trust
        self.cookies = http.cookiejar.CookieJar()
        self.headers = headers or {}

    def ask(self, path: str, posted: dict[str, str] | None = None) -> Answer:
        handlers: list[urllib.request.BaseHandler] = [
            NoRedirect(),
            urllib.request.HTTPCookieProcessor(self.cookies),
            urllib.request.ProxyHandler({}),
        ]
        if self.trust:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.trust)))
        body = None if posted is None else urllib.parse.urlencode(posted).encode()
        headers = {"Referer": self.url + path, **self.headers}
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310 - the tests' own address
        try:
            response = urllib.request.build_opener(*handlers).open(request, timeout=60)
        except urllib.error.HTTPError as refused:  # every answer that is not 2xx
            response = refused
        with response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, found, response.read().decode())

    def open(self, path: str) -> Answer:
        return self.ask(path)

    def token(self, path: str) -> str:
        """What the form of this page posts with everything else."""
        answer = self.open(path)
        found = CSRF.search(answer.page)
        assert found, f"{path} has no form: {answer.status} {answer.leads_to}"
        return found[1]

    def send(self, path: str, *, form: str = "", **posted: str) -> Answer:
        """Post the form that stands at ``form``, or at the same address."""
        return self.ask(path, {"csrfmiddlewaretoken": self.token(form or path), **posted})

    def sign_in(self, cpf: str, password: str) -> Answer:
        return self.send("/entrar/", username=cpf, password=password)

    @property
    def is_signed_in(self) -> bool:
        return self.open("/conta/").status == 200
