"""What the portal keeps of people: the notice for everybody, and what it knows of me."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views import View

from .. import privacy, security, throttle
from ..emails import NOTICE_LIFE
from ..http import UserRequest
from ..models import HelpDesk, SecurityEvent, User
from ..privacy import Section
from .rights import public

#: Rows of each section on the first page; the others are one click away.
FEW = 5
PAGE = 50


@public
class PrivacyNotice(View):
    """What is kept, why, for how long, and whom to ask (LGPD art. 9º)."""

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {
            "mail_days": settings.MAIL_RETENTION_DAYS,
            "draft_days": settings.DRAFT_DAYS,
            "event_days": settings.SECURITY_EVENT_RETENTION_DAYS,
            "idle_minutes": settings.SESSION_IDLE_MINUTES,
            "session_hours": settings.SESSION_COOKIE_AGE // 3600,
            "notice_days": NOTICE_LIFE.days,
            "contact": HelpDesk.current(),
            "device_days": throttle.DEVICE_DAYS,
            "count_days": throttle.REMEMBERED.days,
            "session_cookie": settings.SESSION_COOKIE_NAME,
            "csrf_cookie": settings.CSRF_COOKIE_NAME,
            "csrf_days": settings.CSRF_COOKIE_AGE // 86400,
            "device_cookie": throttle.DEVICE_COOKIE,
            "asks_google": bool(settings.RECAPTCHA_PUBLIC_KEY and settings.RECAPTCHA_PRIVATE_KEY),
        }
        return render(request, "accounts/privacy.html", context)


def _may_take(request: UserRequest, kind: SecurityEvent.Kind, what: str) -> bool:
    """Record that the person takes their own data, if they have not done so too often; else they are told."""
    if wait := throttle.take(throttle.OWN_DATA, f"person:{request.user.pk}", request, by=request.user):
        messages.error(request, throttle.sentence(wait))
        return False
    security.record(kind, user=request.user, actor=request.user, request=request, detail=what)
    return True


def _table(name: str, section: Section, user: User, first: int = 0, most: int = FEW) -> dict[str, object]:
    """One section's rows, from ``first``, as the page shows them; ``more`` where there are others behind them."""
    found = list(section.rows(user)[first : first + most + 1])
    rows = [
        [
            (label, privacy.in_words(value))
            for (column, label), value in zip(section.columns.items(), section.row(row), strict=True)
            if column not in section.only_in_file
        ]
        for row in found[:most]
    ]
    return {"name": name, "section": section, "rows": rows, "more": len(found) > most}


class MyData(View):
    """Everything, by section. The CPF is shown whole on the answer to a POST alone, and that is recorded."""

    def get(self, request: UserRequest) -> HttpResponse:
        return self.page(request)

    def post(self, request: UserRequest) -> HttpResponse:
        shown = _may_take(request, SecurityEvent.Kind.DISCLOSED, "CPF, à própria pessoa")
        return self.page(request, shows_cpf=shown, status=200 if shown else 429)

    @classmethod
    def page(cls, request: UserRequest, *, shows_cpf: bool = False, status: int = 200) -> HttpResponse:
        facts = privacy.registration(request.user)
        if not shows_cpf:
            facts["cpf"] = request.user.masked_cpf
        labels = privacy.REGISTRATION_LABELS
        context = {
            "facts": [(name, labels[name], privacy.in_words(value)) for name, value in facts.items()],
            "shows_cpf": shows_cpf,
            "tables": [_table(name, section, request.user) for name, section in privacy.SECTIONS.items()],
        }
        return render(request, "accounts/my_data.html", context, status=status)


class MyDataSection(View):
    """All of one section, a page at a time."""

    def get(self, request: UserRequest, name: str) -> HttpResponse:
        section = privacy.SECTIONS.get(name)
        if section is None:
            raise Http404
        page = Paginator(section.rows(request.user), PAGE).get_page(request.GET.get("page"))
        table = _table(name, section, request.user, page.start_index() - 1 if page.object_list else 0, PAGE)
        return render(request, "accounts/my_data_section.html", {"page": page, "table": table})


class MyDataFile(View):
    """The same as a file (LGPD art. 18, V)."""

    def get(self, request: UserRequest) -> HttpResponse:
        """Where somebody lands who had to sign in again: on the page with the button."""
        return redirect("my-data")

    def post(self, request: UserRequest) -> HttpResponseBase:
        if not _may_take(request, SecurityEvent.Kind.EXPORTED, "arquivo, à própria pessoa"):
            return MyData.page(request, status=429)
        return StreamingHttpResponse(
            privacy.export(request.user),
            content_type="application/json; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="meus-dados-{timezone.localdate():%Y-%m-%d}.json"'},
        )
