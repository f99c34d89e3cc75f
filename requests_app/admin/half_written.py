"""What was typed on the screen of a request beside what its buttons did: it comes back with the page."""

from __future__ import annotations

from collections.abc import Iterable

from accounts.http import UserRequest

#: The fields that come back.
NAMES = ("reason", "note", "text", "renew_password", "sends_own")
#: Beside them, with the answer itself. Of a credential for another system nothing is kept on the server.
AT_ONCE = (*NAMES, "login")
NOTE = frozenset({"text"})
DECISION = frozenset(NAMES) - NOTE
MOST_CHARACTERS = 2000
#: Where the session has it, by the request's key; so many requests back.
KEPT = "desk_half_written"
MOST_REQUESTS = 5


def of(request: UserRequest, pk: int) -> dict[str, str]:
    """What stands in the fields now, or stood there when something else was done on this page."""
    if request.method == "POST":
        return _typed(request, AT_ONCE)
    kept: dict[str, str] = request.session.get(KEPT, {}).get(str(pk), {})
    return kept


def keep(request: UserRequest, pk: int, *, done: frozenset[str] = frozenset()) -> None:
    """Let what was posted along come back when the page is opened again, but for the fields that are ``done``."""
    before: dict[str, dict[str, str]] = request.session.get(KEPT, {})
    others = [(key, typed) for key, typed in before.items() if key != str(pk)][1 - MOST_REQUESTS :]
    typed = {name: text for name, text in _typed(request, NAMES).items() if name not in done}
    kept = {**dict(others), **({str(pk): typed} if typed else {})}
    if kept != before:
        request.session[KEPT] = kept


def _typed(request: UserRequest, names: Iterable[str]) -> dict[str, str]:
    found = {name: request.POST.get(name, "").replace("\0", "")[:MOST_CHARACTERS] for name in names}
    return {name: text for name, text in found.items() if text}
