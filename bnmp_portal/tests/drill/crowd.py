"""Who uses the portal during the drill, over HTTP: analysts who decide, and people who forgot their password.

Whoever gets no answer, or is told to come back later, tries again until told that it is done.
"""

from __future__ import annotations

import http.client
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Self
from urllib.parse import urlencode

from accounts.tests.captcha_solver import solve

from .people import ANALYSTS, PASSWORD, UNKNOWN
from .portal import Portal, until

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
DESK = "/admin/requests_app"
#: Seconds after which somebody gives up.
PATIENCE = 180
#: Of so many approvals, one is issued again.
REISSUE_EVERY = 20


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    text: str


class Browser:
    """Cookies, forms with their token, and an address of its own, so that the throttle tells people apart."""

    def __init__(self, server: str, client_address: str) -> None:
        self.server = server
        self.client_address = client_address
        self.cookies: dict[str, str] = {}
        self.token = ""

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None)

    def post(self, path: str, **form: str) -> Answer:
        return self._ask("POST", path, urlencode({"csrfmiddlewaretoken": self.token, **form}))

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        """One request on one connection. Raises OSError or HTTPException where the server is gone."""
        headers = {
            "X-Forwarded-For": self.client_address,
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection = http.client.HTTPConnection(self.server, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        for cookie in response.headers.get_all("Set-Cookie", []):
            name, _equals, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if token := TOKEN.search(text):
            self.token = token[1]
        return Answer(response.status, response.headers.get("Location", ""), text)


class Crowd:
    """Everybody, what they were told, and how long it took."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        #: What somebody was told of: requests, accesses, CPFs.
        self.approved: set[int] = set()
        self.reissued: set[int] = set()
        self.forgotten: set[str] = set()
        #: How often each was asked for: a try that nobody answered may have been heard all the same.
        self.tries: Counter[tuple[str, int | str]] = Counter()
        #: Status of each answer, 0 where none came.
        self.answers: Counter[int] = Counter()
        #: Seconds.
        self.longest_wait_of_an_approver = 0.0
        self.lock = threading.Lock()
        self.todo: SimpleQueue[tuple[Callable[..., None], int | str]] = SimpleQueue()
        self.everybody: list[Future[None]] = []
        self.is_called_off = threading.Event()

    def __enter__(self) -> Self:
        """Sign in, and begin."""
        rows = self.portal.database.rows
        pending = rows(
            "SELECT request.id, beneficiary.email FROM requests_app_accessrequest AS request"
            " JOIN accounts_user AS beneficiary ON beneficiary.id = request.beneficiary_id ORDER BY request.id"
        )
        asked: list[tuple[Callable[..., None], int | str]] = [(self.approve, pk) for pk, _email in pending]
        asked += [
            (self.forget, cpf) for (cpf,) in rows("SELECT cpf FROM accounts_user WHERE email LIKE %s", ["esquecida.%"])
        ]
        random.Random(len(asked)).shuffle(asked)
        again = [pk for pk, email in pending if email != UNKNOWN][::REISSUE_EVERY]
        for item in [*asked, *((self.reissue, pk) for pk in again)]:
            self.todo.put(item)
        analysts = rows("SELECT cpf FROM accounts_user WHERE is_staff")
        assert len(analysts) == ANALYSTS
        self.analysts = [self.signed_in(cpf, f"10.0.0.{number}") for number, (cpf,) in enumerate(analysts, 1)]
        self.threads = ThreadPoolExecutor(ANALYSTS)
        self.everybody = [self.threads.submit(self.work, browser) for browser in self.analysts]
        return self

    def __exit__(self, *_raised: object) -> None:
        """Nobody begins anything new, or tries again."""
        self.is_called_off.set()
        self.threads.shutdown()

    @property
    def over(self) -> bool:
        return all(person.done() for person in self.everybody)

    def finish(self) -> None:
        """Until everybody was told of everything. Raises what went wrong for any of them."""
        for person in self.everybody:
            person.result()

    @property
    def heard(self) -> int:
        """Tries that came to an end, one way or the other."""
        return self.answers.total()

    @property
    def repeated(self) -> int:
        """Tries that had to be made again: no answer, or "come back later"."""
        return sum(count for status, count in self.answers.items() if status == 0 or status >= 500)

    def signed_in(self, cpf: str, address: str) -> Browser:
        browser = Browser(self.portal.address, address)
        browser.get("/entrar/")
        answer = browser.post("/entrar/", username=cpf, password=PASSWORD, next="/admin/")
        assert (answer.status, answer.location) == (302, "/admin/"), answer
        assert browser.get("/admin/").status == 200
        return browser

    def work(self, analyst: Browser) -> None:
        """Take what is next until nothing is left."""
        while not self.is_called_off.is_set():
            try:
                step, what = self.todo.get_nowait()
            except Empty:
                return
            step(analyst, what)

    def approve(self, analyst: Browser, pk: int) -> None:
        def told(answer: Answer) -> bool:
            done = (answer.status, answer.location) == (302, f"{DESK}/accessrequest/{pk}/change/")
            already = "está “Concluída” e não pode passar para “Aprovada”"
            return done or (answer.status == 409 and already in answer.text)

        self.insist(
            "approval", pk, lambda: self.timed(analyst, f"{DESK}/accessrequest/{pk}/decidir/", to="APPROVED"), told
        )
        self.approved.add(pk)

    def reissue(self, analyst: Browser, pk: int) -> None:
        """``pk``: of the request that the access came from."""
        until(lambda: pk in self.approved or self.is_called_off.is_set(), f"request {pk} was not approved", PATIENCE)
        until(self.portal.database.answers, "the database did not come back")
        accesses = self.portal.database.rows("SELECT id FROM requests_app_accessgrant WHERE request_id = %s", [pk])
        [(grant,)] = accesses
        page = f"{DESK}/accessgrant/{grant}"
        self.insist(
            "reissue",
            pk,
            lambda: self.timed(analyst, f"{page}/reemitir/", note="A mensagem foi apagada."),
            lambda answer: (answer.status, answer.location) == (302, f"{page}/change/"),
        )
        self.reissued.add(pk)

    def forget(self, _analyst: Browser, cpf: str) -> None:
        browser = Browser(self.portal.address, f"10.1.{cpf[5:7].lstrip('0') or 0}.{cpf[7:9].lstrip('0') or 0}")
        path = "/esqueci-a-senha/"
        self.insist("opening", cpf, lambda: browser.get(path), lambda answer: answer.status == 200)
        self.insist(
            "reset",
            cpf,
            lambda: browser.post(path, cpf=cpf, captcha=solve()),
            lambda answer: (answer.status, answer.location) == (302, f"{path}enviado/"),
        )
        self.forgotten.add(cpf)

    def timed(self, analyst: Browser, path: str, **form: str) -> Answer:
        began = time.monotonic()
        try:
            return analyst.post(path, **form)
        finally:
            with self.lock:
                waited = time.monotonic() - began
                self.longest_wait_of_an_approver = max(self.longest_wait_of_an_approver, waited)

    def insist(self, what: str, key: int | str, step: Callable[[], Answer], told: Callable[[Answer], bool]) -> None:
        """Try until told that it is done. An answer that is neither that nor "later" fails the drill."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_called_off.is_set():
            answer = None
            try:
                answer = step()
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, f"{what} {key}: no answer in {PATIENCE} s"
            with self.lock:
                self.tries[what, key] += 1
                self.answers[answer.status if answer else 0] += 1
            if answer and told(answer):
                return
            assert answer is None or answer.status >= 500, f"{what} {key}: {answer}"
            assert time.monotonic() < deadline, f"{what} {key}: not done in {PATIENCE} s"
            time.sleep(0.3)
