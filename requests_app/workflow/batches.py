"""One decision about many requests, each of which is moved, or not, in a transaction of its own."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from accounts import outbox
from accounts.models import User

from ..models import NOT_YOUR_OWN, AccessRequest, Batch, BatchOutcome, ReasonTemplate, RequestEvent, Status
from . import moves
from .rules import MOVES, MoveRefusedError, Role

log = logging.getLogger(__name__)

#: What stands in place of an outcome until there is one.
NOT_YET = "Ainda não foi tratada."
FAULT = "O portal não conseguiu tratar esta solicitação. Abra a solicitação e decida na página dela."
#: Whoever waits for the page waits no longer than this; the proxy gives up after 35 (``deploy/portal_proxy.conf``).
SECONDS_AT_ONCE = 25


def seen_of(requests: Collection[int], *, until: datetime | None = None) -> dict[int, int]:
    """The last step of each history (its key; 0 where there is none), as it is now or was at a moment."""
    steps = RequestEvent.objects.filter(request__in=requests)
    if until is not None:
        steps = steps.filter(at__lte=until)
    last = steps.order_by().values("request").annotate(last=Max("pk")).values_list("request", "last")
    return {**dict.fromkeys(requests, 0), **dict(last)}


def why_refused(request: AccessRequest, to: Status, by: User) -> str:
    """Why somebody who decides cannot decide this one as it stands, as a sentence; nothing where they can. No query.

    Only what the request itself tells. Bond, address and system are looked at when it is moved.
    """
    if request.is_of(by):
        return NOT_YOUR_OWN
    if Role.ANALYST in MOVES.get((Status(request.status), to), ()):
        return ""
    here = request.get_status_display()
    return f"Já está “{here}”." if request.status == to else f"Está “{here}” e não pode passar para “{to.label}”."


@transaction.atomic
def begin(
    nonce: uuid.UUID, to: Status, seen: Mapping[int, int], *, by: User, note: str = "", reason: ReasonTemplate | None
) -> Batch:
    """Write down what is to be decided, before anything is.

    ``seen``: each request with the last step of its history that ``by`` saw. The same page (``nonce``) sent again gives
    back the batch that it made before, whatever else is sent with it.
    """
    values = {"by": by, "to": to, "note": note.strip(), "reason": reason, "at": timezone.now()}
    batch, is_new = Batch.objects.select_related("by", "reason").get_or_create(nonce=nonce, defaults=values)
    if is_new:
        now = seen_of(seen)
        protocols = AccessRequest.objects.filter(pk__in=seen).order_by("pk").values_list("pk", "protocol")
        # Said here already: after a crash nothing tells any more what the page had shown.
        BatchOutcome.objects.bulk_create(
            BatchOutcome(
                batch=batch,
                request_id=pk,
                refusal=moves.CHANGED_MEANWHILE.format(protocol) if now[pk] > seen[pk] else NOT_YET,
            )
            for pk, protocol in protocols
        )
    return batch


def left(batch: Batch) -> QuerySet[BatchOutcome]:
    """What has no outcome yet, the oldest first."""
    return batch.outcomes.filter(refusal=NOT_YET).order_by("request_id")


def run(batch: Batch, seen: Mapping[int, int] | None = None) -> None:
    """Move what has no outcome yet, each in its own transaction; stop after ``SECONDS_AT_ONCE``.

    What is done is done, and written down in the same transaction, whatever comes after. It may run several times, and
    several times at once: nothing is decided twice. ``seen`` as in ``begin``; None, for who goes on later: as it was
    when the batch was made.
    """
    until = time.monotonic() + SECONDS_AT_ONCE
    waiting = list(left(batch).values_list("pk", "request_id"))
    if seen is None:
        seen = seen_of([request for _outcome, request in waiting], until=batch.at)
    with outbox.one_wake():
        for outcome, request in waiting:
            if time.monotonic() > until:
                break
            _settle(batch, outcome, request, seen.get(request, 0))


def _settle(batch: Batch, outcome: int, request: int, seen: int) -> None:
    """Move one. A fault with it must not keep the others back, unless the database itself is away.

    What the database refuses for the moment (a deadlock, a lock that took too long) is left for who goes on.
    """
    mine = BatchOutcome.objects.filter(pk=outcome, refusal=NOT_YET)
    try:
        _move(batch, mine, request, seen)
    except MoveRefusedError as refusal:
        mine.update(refusal=str(refusal)[:300])
    except (OperationalError, InterfaceError):
        if not connection.is_usable():
            raise
        log.warning("Request %s of batch %s is left for later", request, batch.pk, exc_info=True)
    except Exception:
        log.exception("Request %s of batch %s could not be moved", request, batch.pk)
        mine.update(refusal=FAULT)


@transaction.atomic
def _move(batch: Batch, outcome: QuerySet[BatchOutcome], request: int, seen: int) -> None:
    """Write the outcome and move, or neither. Raises MoveRefusedError."""
    if outcome.update(refusal=""):  # else the same page was sent twice, and the other was quicker
        moves.move_within(request, Status(batch.to), by=batch.by, note=batch.note, reason=batch.reason, seen=seen)
