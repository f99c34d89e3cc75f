"""What time brings: what is over is ended, warned of or deleted. Each chore may run twice, late, and beside itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from . import emails, enrolments, outbox, provisional, removals, sessions, uploaded_imports
from .directory import effects
from .masking import masked_address
from .models import (
    AddressChange,
    Authenticator,
    FactorRemoval,
    MailStatus,
    OutgoingMail,
    PasswordResetRequest,
    ProvisionalPassword,
    SecurityEvent,
    SpentChallenge,
    ThrottleCount,
)

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

#: Rows in one transaction: a long one would hold SQLite's only writer, and PostgreSQL's locks.
BATCH = 1000


class Chore(Protocol):
    """Does what is due and returns how many there were; with ``dry_run`` it only counts them."""

    def __call__(self, *, dry_run: bool) -> int: ...


def run(*, dry_run: bool = False) -> dict[str, int | None]:
    """Do every chore; returns how many each did, None for one that failed. It is logged and stops no other."""
    done: dict[str, int | None] = {}
    for label, chore in CHORES.items():
        try:
            done[label] = chore(dry_run=dry_run)
        except Exception:
            log.exception("A chore failed: %s", label)
            done[label] = None
    if not dry_run:
        log.info("Housekeeping: %s", {label: count for label, count in done.items() if count})
    return done


def in_batches(due: QuerySet[Row], do: Callable[[list[Row]], object], *, dry_run: bool) -> int:
    """Lock some of the rows that are due, do this with them, commit, and so on; returns how many there were.

    Afterwards they must not be due any more. A row that somebody else holds is left: it is theirs, or due next time.
    """
    if dry_run:
        return due.count()
    done = 0
    while True:
        with transaction.atomic():
            batch = list(due.select_for_update(of=("self",), skip_locked=True, no_key=True)[:BATCH])
            do(batch)
        done += len(batch)
        if len(batch) < BATCH or outbox.stopping.is_set():
            return done


def delete(due: QuerySet[Any], *, dry_run: bool) -> int:
    """Delete these rows for good."""
    rows = due.model._base_manager
    return in_batches(
        due.only("pk"), lambda batch: rows.filter(pk__in=[row.pk for row in batch]).delete(), dry_run=dry_run
    )


def warn_of_lapsing(*, dry_run: bool) -> int:
    """Owe a mail, once for each provisional password, a day before it lapses."""

    def owe(batch: list[ProvisionalPassword]) -> None:
        for live in batch:
            outbox.owe(emails.PROVISIONAL_LAPSING, recipient=live.user_id, about=live.pk)

    warned = OutgoingMail.objects.filter(kind=emails.PROVISIONAL_LAPSING, object_id=OuterRef("pk"))
    due = provisional.lapsing().filter(~Exists(warned))
    return in_batches(due, owe, dry_run=dry_run)


def mask_old_addresses(*, dry_run: bool) -> int:
    """Once their notices cannot be sent or come back any more: nobody has to know them now."""

    def mask(batch: list[AddressChange]) -> None:
        for change in batch:
            change.old = masked_address(change.old)
        AddressChange.objects.bulk_update(batch, ["old"])

    old_changes = AddressChange.objects.filter(at__lt=timezone.now() - emails.NOTICE_LIFE)
    return in_batches(old_changes.exclude(old__contains="***@"), mask, dry_run=dry_run)


def close_removals(*, dry_run: bool) -> int:
    """Of second factors, that nobody confirmed in time."""

    def close(batch: list[FactorRemoval]) -> None:
        for removal in batch:
            removals.close_lapsed(removal)

    return in_batches(removals.lapsed().select_related("user").order_by("pk"), close, dry_run=dry_run)


def close_entries(*, dry_run: bool) -> int:
    """Of whoever has no bond any more since its last day passed; an import closes them itself."""
    return in_batches(effects.gone().order_by("pk"), effects.close, dry_run=dry_run)


def open_entries(*, dry_run: bool) -> int:
    """Of whoever was shut out for want of a bond and has one that begins by now."""
    return in_batches(effects.came_back().order_by("pk"), effects.let_in, dry_run=dry_run)


def forget_telephones(*, dry_run: bool) -> int:
    """Whose first code never came, with their keys."""
    over = timezone.now() - enrolments.LIFE
    return delete(Authenticator.objects.filter(confirmed=False, created_at__lt=over).order_by("pk"), dry_run=dry_run)


def forget_sessions(*, dry_run: bool) -> int:
    return delete(sessions.over().order_by("expire_date"), dry_run=dry_run)


def forget_counts(*, dry_run: bool) -> int:
    """Of tries whose window ended a day ago; the longest wait is over long before."""
    over = ThrottleCount.objects.filter(window_ends_at__lt=timezone.now() - timedelta(days=1))
    return delete(over.order_by("window_ends_at"), dry_run=dry_run)


def forget_challenges(*, dry_run: bool) -> int:
    return delete(SpentChallenge.objects.filter(lapses_at__lt=timezone.now()).order_by("lapses_at"), dry_run=dry_run)


def forget_reset_requests(*, dry_run: bool) -> int:
    """That no worker took up for a day: whoever asked has asked again, or called."""
    return delete(
        PasswordResetRequest.objects.filter(created_at__lt=timezone.now() - timedelta(days=1)), dry_run=dry_run
    )


def forget_mails(*, dry_run: bool) -> int:
    """Settled ones, after ``MAIL_RETENTION_DAYS``; what failed and was not tried again stays twice as long.

    None is owed again for it: each is owed in the transaction of a deed, and a warning only in its one day.
    """
    kept = timedelta(days=settings.MAIL_RETENTION_DAYS)
    now = timezone.now()
    mails = OutgoingMail.objects.annotate(last=Coalesce("sent_at", "retried_at", "created_at"))
    old = Q(status__in=(MailStatus.SENT, MailStatus.SUPERSEDED), last__lt=now - kept)
    old_failures = Q(status=MailStatus.FAILED, last__lt=now - 2 * kept)
    return delete(mails.filter(old | old_failures).order_by("pk"), dry_run=dry_run)


def forget_events(*, dry_run: bool) -> int:
    """Security events past ``SECURITY_EVENT_RETENTION_DAYS``, and a minute: SQLite's guard counts in whole seconds."""
    kept = timedelta(days=settings.SECURITY_EVENT_RETENTION_DAYS, minutes=1)
    old = SecurityEvent.objects.filter(at__lt=outbox.database_time() - kept)  # the guard's clock
    return delete(old.order_by("at"), dry_run=dry_run)


#: What the administrator reads -> the chore; other apps add theirs in ``AppConfig.ready``.
CHORES: dict[str, Chore] = {
    "Avisos de senha provisória perto de vencer": warn_of_lapsing,
    "Endereços anteriores, já avisados, mascarados": mask_old_addresses,
    "Retiradas de segundo fator vencidas, encerradas": close_removals,
    "Entradas de quem não tem mais vínculo, fechadas": close_entries,
    "Entradas de quem voltou a ter vínculo, abertas": open_entries,
    "Celulares não confirmados, apagados": forget_telephones,
    "Sessões encerradas, apagadas": forget_sessions,
    "Contagens de tentativas antigas, apagadas": forget_counts,
    "Desafios “Não sou um robô” vencidos, apagados": forget_challenges,
    "Pedidos de redefinição não atendidos em um dia, apagados": forget_reset_requests,
    "Mensagens antigas, apagadas": forget_mails,
    "Eventos de segurança antigos, apagados": forget_events,
    "Arquivos de pessoal sem decisão, descartados": uploaded_imports.discard_old,
    "Arquivos de pessoal concluídos, apagados do disco": uploaded_imports.forget_files,
}
