"""What is said as soon as person and user type are chosen: has it, asked for it, or was refused it lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts.desk import is_key
from accounts.models import Employment, User

from . import catalogue, workflow
from .forms import AccessRequestForm
from .models import ALREADY_ASKED, AccessGrant, AccessRequest, Status, UserType
from .models.grants import AccessGrantQuerySet
from .models.requests import AccessRequestQuerySet
from .own_lists import PROTOCOL

#: What was missing a quarter ago may be missing still; about what is older a new request tells more than the old one.
LATELY = timedelta(days=90)


@dataclass(frozen=True)
class Known:
    """A sentence, and where to read on, for who may."""

    text: str
    link: str = ""
    address: str = ""


def in_form(form: AccessRequestForm, corrected: AccessRequest | None) -> Known | None:
    """About what stands in the form."""
    chosen = {name: form[name].value() for name in ("beneficiary", "user_type", "unit") if name in form.fields}
    return about(form.user, corrected, **chosen)


def about(
    reader: User, corrected: AccessRequest | None, *, beneficiary: Any, user_type: Any, unit: Any = ""
) -> Known | None:
    """About keys as they were posted. ``corrected``: the request that the form corrects, which is not told of itself.

    Of others nobody learns more than the answer to a request that they sent would tell them: nothing of systems that
    they may not ask for, or not for this person; dates and refusals only of requests that they may see.
    """
    bond_key, type_key = _key(beneficiary), _key(user_type)
    if bond_key is None or type_key is None:
        return None
    bond = Employment.objects.current().select_related("user").filter(pk=bond_key).first()
    chosen = UserType.objects.select_related("system").filter(pk=type_key, is_active=True).first()
    asker = corrected.requester if corrected else reader
    if bond is None or chosen is None or not _may_ask(asker, chosen):
        return None
    if refusal := catalogue.why_not_for(asker, bond.user, chosen.system):
        return Known(refusal)
    place = _key(unit) if chosen.system.asks_unit else None
    if chosen.system.asks_unit and place is None:
        return None
    asked = AccessRequest.objects.filter(beneficiary=bond.user, user_type=chosen, unit=place)
    held = AccessGrant.objects.live().filter(user=bond.user, user_type=chosen, unit=place)
    others = asked.exclude(pk=corrected.pk) if corrected else asked
    return _held(held, chosen, reader) or _asked(others, reader) or _refused(others, reader)


def _key(value: Any) -> int | None:
    text = str(value or "")
    return int(text) if is_key(text) else None


def _may_ask(asker: User, user_type: UserType) -> bool:
    return (
        user_type.system.accepts_requests
        and Employment.objects.current().filter(user=asker).exists()
        and catalogue.may_ask(asker, user_type.system)
    )


def _held(grants: AccessGrantQuerySet, user_type: UserType, reader: User) -> Known | None:
    grant = grants.select_related("request").first()
    if grant is None:
        return None
    since = f"desde {timezone.localtime(grant.granted_at):%d/%m/%Y}"
    if grant.user_id == reader.pk:
        return Known(f"Você já tem acesso a {user_type} {since}.", "Ver meus acessos", reverse("access-list"))
    if grant.request and grant.request.is_of(reader):
        return Known(f"Esta pessoa já tem acesso a {user_type} {since}.", *_to(grant.request, reader))
    return Known(f"Esta pessoa já tem acesso a {user_type}.")


def _asked(requests: AccessRequestQuerySet, reader: User) -> Known | None:
    other = requests.open().first()
    return Known(f"{ALREADY_ASKED.removesuffix('.')}: nº {other.protocol}.", *_to(other, reader)) if other else None


def _refused(requests: AccessRequestQuerySet, reader: User) -> Known | None:
    lately = requests.visible_to(reader).filter(status=Status.REJECTED, decided_at__gte=timezone.now() - LATELY)
    last = lately.order_by("-decided_at").first()
    if last is None or last.decided_at is None:
        return None
    decided = timezone.localtime(last.decided_at)
    return Known(f"Um pedido igual foi indeferido em {decided:%d/%m/%Y}. Leia o motivo antes.", *_to(last, reader))


def _to(request: AccessRequest, reader: User) -> tuple[str, str]:
    """The way to a request, for who may see it."""
    return (f"Ver o pedido {request.protocol}", request.get_absolute_url()) if request.is_of(reader) else ("", "")


def corrected_by(reader: User, protocol: str) -> AccessRequest | None:
    """The request that this person corrects just now, if they may."""
    mine = AccessRequest.objects.visible_to(reader).select_related("requester")
    found = mine.filter(protocol=protocol).first() if PROTOCOL.fullmatch(protocol) else None
    return found if found and workflow.may(reader, found, Status.PENDING) else None
