"""The mail screen: what is owed to whom, what became of it, and "Tentar de novo"."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from . import outbox
from .desk import DeskAdmin, DeskList, PeriodFilter, find_people, moment
from .http import UserRequest
from .masking import mask_people, masked_address
from .models import MailStatus, OutgoingMail, User

ATTENTION = "atencao"
UNKNOWN_KIND = "O portal não envia mais mensagens deste tipo."
#: Somebody whose name is so common has to be looked for with more of it.
MOST_PEOPLE = 1000
#: "Tentar de novo" for many ends after so many, or after so many seconds; the person presses again.
MOST_AT_ONCE, SECONDS_AT_ONCE = 500, 10

#: Other apps find mails by what these are about: what was typed -> which mails, None where that is none of theirs.
SEARCHES: list[Callable[[str], Q | None]] = []


@dataclass(frozen=True)
class Row:
    """One mail as the staff see it: no whole address, no whole CPF."""

    mail: OutgoingMail
    label: str
    #: Where it goes if it is sent now.
    address: str
    subject: outbox.Subject | None
    answer: str
    #: When it is tried next; None where it is not.
    next_at: datetime | None

    @property
    def change_url(self) -> str:
        return reverse("admin:accounts_outgoingmail_change", args=[self.mail.pk])


def rows(mails: Iterable[OutgoingMail]) -> list[Row]:
    """The mails with what they are about: one query for each sort of thing, however many mails."""
    mails = list(mails)
    subjects = _subjects(mails)
    return [_row(mail, subjects.get(mail.pk)) for mail in mails]


def _row(mail: OutgoingMail, subject: outbox.Subject | None) -> Row:
    return Row(
        mail=mail,
        label=outbox.KINDS[mail.kind].label if mail.kind in outbox.KINDS else mail.kind,
        address=masked_address(subject.address) if subject and subject.address else mail.recipient.masked_email,
        subject=subject,
        answer=mask_people(mail.error),
        next_at=mail.next_at if mail.status == MailStatus.PENDING else None,
    )


def _subjects(mails: Collection[OutgoingMail]) -> dict[int, outbox.Subject]:
    asked: dict[Callable[..., dict[int, outbox.Subject]], list[OutgoingMail]] = defaultdict(list)
    for mail in mails:
        if mail.kind in outbox.KINDS:
            asked[outbox.KINDS[mail.kind].subjects].append(mail)
    found: dict[int, outbox.Subject] = {}
    for subjects_of, about in asked.items():
        subjects = subjects_of({mail.object_id for mail in about})
        found |= {mail.pk: subjects[mail.object_id] for mail in about if mail.object_id in subjects}
    return found


def failed(most: int) -> QuerySet[OutgoingMail]:
    """Mails that were not delivered and that nobody has tried again, the newest first; a partial index has them."""
    return OutgoingMail.objects.filter(status=MailStatus.FAILED).select_related("recipient").order_by("-pk")[:most]


class StateFilter(admin.SimpleListFilter):
    title = "situação"
    parameter_name = "situacao"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(ATTENTION, "Precisa de atenção"), *MailStatus.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == ATTENTION:
            every = OutgoingMail.objects.values("pk")
            waiting = every.filter(status=MailStatus.PENDING).exclude(error="")
            # Not with an OR, which would leave aside the partial index of either.
            return queryset.filter(pk__in=every.filter(status=MailStatus.FAILED).union(waiting))
        return queryset.filter(status=self.value()) if self.value() in MailStatus.values else queryset


class KindFilter(admin.SimpleListFilter):
    """From the register: the rows themselves would be read to the last for it."""

    title = "mensagem"
    parameter_name = "mensagem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(((name, kind.label) for name, kind in outbox.KINDS.items()), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in outbox.KINDS else queryset


class MadeFilter(PeriodFilter):
    column = "created_at"


class MailList(DeskList):
    """Asks for the page as a whole what its mails are about."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = rows(self.result_list)
        for row in found:
            vars(row.mail)["row"] = row
        self.result_list = [row.mail for row in found]


class OutgoingMailAdmin(DeskAdmin):
    """What the portal writes to people. Nothing is edited: a mail is only tried again."""

    list_display = (
        "created",
        "message",
        "recipient_shown",
        "about",
        "status",
        "attempts",
        "next_try",
        "answer",
    )
    list_filter = (StateFilter, KindFilter, MadeFilter)
    list_select_related = ("recipient",)
    list_per_page = 50
    search_fields = ("kind",)
    search_help_text = "Protocolo inteiro, ou nome, matrícula ou CPF inteiro de quem recebe"
    ordering = ("-pk",)
    sortable_by = ()
    actions = ("try_selected_again", "dismiss_selected")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MailList

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """The name is the admin's: what ``permissions=["retry"]`` of an action asks."""
        return self.has_view_permission(request) and request.user.has_perm("accounts.retry")

    @admin.display(description="criada em")
    def created(self, mail: OutgoingMail) -> str:
        return moment(mail.created_at)

    @admin.display(description="mensagem")
    def message(self, mail: OutgoingMail) -> str:
        return _row_of(mail).label

    @admin.display(description="destinatário")
    def recipient_shown(self, mail: OutgoingMail) -> SafeString:
        return format_html("{}<br>{}", mail.recipient.display_name, _row_of(mail).address)

    @admin.display(description="sobre")
    def about(self, mail: OutgoingMail) -> SafeString | str:
        subject = _row_of(mail).subject
        return format_html('<a href="{}">{}</a>', subject.url, subject.text) if subject else "–"

    @admin.display(description="próxima tentativa")
    def next_try(self, mail: OutgoingMail) -> str:
        next_at = _row_of(mail).next_at
        return moment(next_at) if next_at else "–"

    @admin.display(description="resposta do servidor")
    def answer(self, mail: OutgoingMail) -> str:
        return _row_of(mail).answer or "–"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        for search in SEARCHES:
            if (wanted := search(term)) is not None:
                return queryset.filter(wanted), False
        people = set(find_people(User.objects.all(), term).values_list("pk", flat=True)[:MOST_PEOPLE])
        return queryset.filter(recipient__in=people), False

    @admin.action(description="Tentar de novo", permissions=["retry"])
    def try_selected_again(self, request: UserRequest, queryset: QuerySet[OutgoingMail]) -> None:
        """Each by itself, the oldest first: one that is refused keeps no other back."""
        until = time.monotonic() + SECONDS_AT_ONCE
        chosen = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        refusals: Counter[str] = Counter()
        tried = 0
        for pk in chosen[:MOST_AT_ONCE]:
            if time.monotonic() > until:
                break
            refusals[_try_again(pk, by=request.user, wake=False)] += 1
            tried += 1
        outbox.ring()
        if worked := refusals.pop("", 0):
            messages.success(request, f"De volta à fila de envio: {worked}.")
        for sentence, count in refusals.most_common():
            messages.warning(request, f"Sem nova tentativa: {count}. {sentence}")
        if tried < len(chosen):
            messages.info(request, "Nem todas foram tentadas ainda. Selecione as outras e use “Tentar de novo”.")

    @admin.action(description="Dar por resolvido", permissions=["retry"])
    def dismiss_selected(self, request: UserRequest, queryset: QuerySet[OutgoingMail]) -> None:
        """Those of the chosen that failed."""
        failed = queryset.filter(status=MailStatus.FAILED, kind__in=outbox.KINDS).values_list("pk", flat=True)
        done = sum(outbox.dismiss(pk, by=request.user) for pk in list(failed[:MOST_AT_ONCE]))
        messages.success(request, f"Problemas dados por resolvidos: {done}.")

    def get_urls(self) -> list[URLPattern]:
        retry = self.admin_site.admin_view(self.retry_view)
        dismiss = self.admin_site.admin_view(self.dismiss_view)
        return [
            path("<int:pk>/tentar/", retry, name="accounts_outgoingmail_retry"),
            path("<int:pk>/resolver/", dismiss, name="accounts_outgoingmail_dismiss"),
            *super().get_urls(),
        ]

    def retry_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Try one again; who comes too late, or asks for what cannot be, is told why."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        get_object_or_404(OutgoingMail, pk=pk)
        if refusal := _try_again(pk, by=request.user):
            return self.page(request, pk, refusal)
        messages.success(request, "Tentativa pedida: o e-mail está na fila e sai em instantes.")
        url = reverse("admin:accounts_outgoingmail_change", args=[pk])
        return redirect(
            add_preserved_filters({"opts": self.opts, "preserved_filters": self.get_preserved_filters(request)}, url)
        )

    def dismiss_view(self, request: UserRequest, pk: int) -> HttpResponse:
        """Take a failed mail off the list of problems: somebody has seen to it in another way."""
        if request.method != "POST":
            return self.nothing_done(request, pk)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        get_object_or_404(OutgoingMail, pk=pk, kind__in=outbox.KINDS)
        if not outbox.dismiss(pk, by=request.user):
            return self.page(request, pk, "Esta mensagem não está mais entre os problemas.")
        messages.success(request, "O problema foi dado por resolvido.")
        return redirect("admin:accounts_outgoingmail_change", pk)

    def page(self, request: UserRequest, pk: int, refusal: str = "") -> HttpResponse:
        """All that is known of one mail, and the button for who may press it."""
        mail = get_object_or_404(OutgoingMail.objects.select_related("recipient"), pk=pk)
        [row] = rows([mail])
        kind = outbox.KINDS.get(mail.kind)
        why_not = outbox.why_not_retry(mail) if kind else UNKNOWN_KIND
        context = {
            **self.admin_site.each_context(request),
            "title": f"Mensagem: {row.label}",
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            "row": row,
            "mail": mail,
            "refusal": refusal,
            "may_retry": why_not == "" and self.has_retry_permission(request),
            "why_not": why_not if mail.status == MailStatus.FAILED else "",
            "may_dismiss": kind is not None and mail.status == MailStatus.FAILED and self.has_retry_permission(request),
            "made_anew": mail.status == MailStatus.FAILED and kind is not None and kind.again is not None,
        }
        status = 409 if refusal else 200
        return TemplateResponse(request, "admin/accounts/outgoingmail/mail.html", context, status=status)


def _row_of(mail: OutgoingMail) -> Row:
    row: Row = vars(mail)["row"]
    return row


def _try_again(pk: int, *, by: User, wake: bool = True) -> str:
    """Why it was not tried; nothing where it was."""
    if OutgoingMail.objects.filter(pk=pk).exclude(kind__in=outbox.KINDS).exists():
        return UNKNOWN_KIND
    try:
        outbox.try_again(pk, by=by, wake=wake)
    except outbox.RetryRefusedError as refusal:
        return str(refusal)
    except OutgoingMail.DoesNotExist:
        return "Esta mensagem foi apagada: o prazo de guarda terminou."
    return ""
