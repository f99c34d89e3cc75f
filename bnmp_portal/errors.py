"""What a person sees when the portal cannot answer: a polite page that needs neither database nor session."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from accounts import correlation

#: Seconds; a restart of the database takes a few.
RETRY_AFTER = 15
#: What must not stand in a page, not even for the person who typed it.
SECRET_FIELDS = frozenset({"password", "old_password", "new_password1", "new_password2"})
#: A solution of the captcha may have been used already.
USED_UP = frozenset({"captcha", "g-recaptcha-response"})


def server_error(request: HttpRequest) -> HttpResponse:
    """The 500 page; where the database is what failed, a 503 that says so and offers to send the form again."""
    database_away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    context = {"request_id": correlation.current()}
    if not database_away:
        return HttpResponse(render_to_string("500.html", context), status=500)
    # The address is left out: it may be a link to a new password, and the form finds its way without.
    page = render_to_string("503.html", context | {"typed": typed(request), "is_post": request.method == "POST"})
    return HttpResponse(page, status=503, headers={"Retry-After": RETRY_AFTER, "Cache-Control": "no-store"})


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """What was posted, to be posted again; nothing where a password or a captcha is part of it.

    Sending twice is safe: a form carries its nonce, and a decision that was taken is not taken again.
    """
    if request.method != "POST" or (SECRET_FIELDS | USED_UP) & request.POST.keys():
        return []
    return [(name, value) for name, values in request.POST.lists() for value in map(str, values)]
