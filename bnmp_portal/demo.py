"""The demonstration's post-box: the mails that production would send. Its addresses exist only with PORTAL_DEMO."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_update
from django.contrib.auth.decorators import login_not_required
from django.core import mail as django_mail
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.generic import TemplateView

SEPARATOR = b"\n" + b"-" * 79 + b"\n"


@dataclass(frozen=True)
class Mail:
    """One mail of the demonstration, as its page shows it."""

    index: int
    message: EmailMessage

    @property
    def to(self) -> str:
        return str(self.message["To"])

    @property
    def subject(self) -> str:
        return str(self.message["Subject"]).strip()  # a long one was folded

    @property
    def date(self) -> datetime:
        moment = parsedate_to_datetime(str(self.message["Date"]))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # "-0000" comes without a zone

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part else ""


def mails() -> list[Mail]:
    """All mails sent so far, the oldest first; ``index`` is the place in that order, from 1.

    A mail's own date has seconds only. Of one second, the files of each connection follow one another, and in each
    file the mails stand as they were sent.
    """
    folder = Path(str(vars(django_mail.get_connection())["file_path"]))
    messages = [
        email.message_from_bytes(raw.strip(), policy=email.policy.default)
        for file in sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns)
        for raw in file.read_bytes().split(SEPARATOR)
        if raw.strip()
    ]
    messages.sort(key=lambda message: parsedate_to_datetime(str(message["Date"])))  # stable
    return [Mail(index, message) for index, message in enumerate(messages, 1)]


def mail_at(index: int) -> Mail:
    """One mail by its place. Raises Http404."""
    every = mails()
    if not 0 < index <= len(every):
        raise Http404
    return every[index - 1]


public = method_decorator(login_not_required, name="dispatch")


@public
class EmailList(TemplateView):
    template_name = "demo/emails.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"mails": mails()[::-1]}


@public
@method_decorator(csp_update({"frame-src": [SELF]}), name="dispatch")
class EmailDetail(TemplateView):
    template_name = "demo/email.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"mail": mail_at(kwargs["index"])}


#: Mails carry their style with them. Nothing else of theirs may run or load; their links may be followed.
FRAME_POLICY = {
    "default-src": [NONE],
    "style-src": [UNSAFE_INLINE],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox", "allow-top-navigation-by-user-activation"],
}


@public
@method_decorator((xframe_options_sameorigin, csp(FRAME_POLICY)), name="dispatch")
class EmailHtml(View):
    """The HTML part alone, for a frame without any rights."""

    def get(self, _request: HttpRequest, index: int) -> HttpResponse:
        return HttpResponse(mail_at(index).html)
