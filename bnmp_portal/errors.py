"""What a person sees when the portal cannot answer: a polite page that needs neither database nor session."""

from __future__ import annotations

import sys
from http import HTTPStatus

from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from accounts import correlation
from accounts.http import GetResponse

#: Seconds; a restart of the database takes a few.
RETRY_AFTER = 15
#: PostgreSQL's code for a server that takes no writes, as after a change of servers.
READ_ONLY = "25006"
#: What must not stand in a page, not even for the person who typed it.
SECRET_FIELDS = frozenset({"password", "old_password", "new_password1", "new_password2", "code"})
#: A solution of the captcha may have been used already.
USED_UP = frozenset({"captcha", "g-recaptcha-response"})


def server_error(request: HttpRequest) -> HttpResponse:
    """The 500 page; where the database is what failed, a 503 that says so and offers to send the form again."""
    if database_is_away(sys.exc_info()[1]):
        return away(request)
    return HttpResponse(render_to_string("500.html", {"request_id": correlation.current()}), status=500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 400 page; another where Django makes a bad request of a session that could not be stored.

    Because the database was not there, or because the session was ended meanwhile. What was asked is done by then:
    "nothing was stored" would be a lie.

    As ``not_found``, it reads nothing that was posted: Django's own look there for a token, and fail where the form
    cannot be read.
    """
    if database_is_away(exception):
        return away(request)
    if isinstance(exception, SessionInterrupted):
        page = render_to_string("session_ended.html", {"is_post": request.method == "POST"})
        return HttpResponse(page, status=400, headers={"Cache-Control": "no-store"})
    return HttpResponse(render_to_string("400.html"), status=400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 404 page."""
    return render(request, "404.html", status=404)


class NotAllowedMiddleware:
    """Who asks in a way that an address does not take is told so by a page; Django's answer is empty."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_bare = response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not response.content
        if is_bare and request.accepts("text/html"):
            response.content = render_to_string("405.html")
        return response


def database_is_away(problem: BaseException | None) -> bool:
    """Whether that is what went wrong first."""
    while problem is not None:
        if isinstance(problem, OperationalError | InterfaceError) or getattr(problem, "pgcode", "") == READ_ONLY:
            return True
        problem = problem.__context__
    return False


def away(request: HttpRequest) -> HttpResponse:
    """The page while the database is away (503): it reads no row, and offers what was typed to be sent again."""
    context = {"request_id": correlation.current()}
    # The address is left out: it may be a link to a new password, and the form finds its way without.
    page = render_to_string("503.html", context | {"typed": typed(request), "is_post": request.method == "POST"})
    return HttpResponse(page, status=503, headers={"Retry-After": RETRY_AFTER, "Cache-Control": "no-store"})


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """What was posted, to be posted again; nothing where a secret or a captcha is part of it.

    Sending twice is safe: a form carries its nonce, and a decision that was taken is not taken again.
    """
    if request.method != "POST" or (SECRET_FIELDS | USED_UP) & request.POST.keys():
        return []
    return [(name, value) for name, values in request.POST.lists() for value in map(str, values)]
