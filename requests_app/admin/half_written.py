"""What was typed on the screen of a request beside what its buttons did: it comes back with the page."""

from __future__ import annotations

from accounts.http import UserRequest

#: The fields that come back. Of a credential for another system nothing is kept.
NAMES = ("reason", "note", "text", "renew_password", "sends_own")
NOTE = frozenset({"text"})
DECISION = frozenset(NAMES) - NOTE
MOST_CHARACTERS = 2000
#: Where the session has it, by the request's key; so many requests back.
KEPT = "desk_half_written"
MOST_REQUESTS = 5


def of(request: UserRequest, pk: int) -> dict[str, str]:
    """What stands in the fields now, or stood there when something else was done on this page."""
    if request.method == "POST":
        return {name: text for name in NAMES if (text := _typed(request, name))}
    kept: dict[str, str] = request.session.get(KEPT, {}).get(str(pk), {})
    return kept


def keep(request: UserRequest, pk: int, *, done: frozenset[str] = frozenset()) -> None:
    """Let what was posted along come back when the page is opened again, but for the fields that are ``done``."""
    before: dict[str, dict[str, str]] = request.session.get(KEPT, {})
    others = [(key, typed) for key, typed in before.items() if key != str(pk)][1 - MOST_REQUESTS :]
    typed = {name: text for name, text in of(request, pk).items() if name not in done}
    kept = {**dict(others), **({str(pk): typed} if typed else {})}
    if kept != before:
        request.session[KEPT] = kept


def _typed(request: UserRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\0", "")[:MOST_CHARACTERS]
