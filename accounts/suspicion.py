"""Sign-ins that the person should hear of (ASVS 5.0 6.3.5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_network

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from . import devices, outbox, security, throttle
from .http import client_address, device_of
from .models import SecurityEvent, User

SUSPICIOUS_SIGN_IN = "suspicious_sign_in"
#: Refused tries since the last sign-in that are no slip of the fingers any more.
MANY_TRIES = 5
#: What lies further back is no news.
LOOKED_BACK = timedelta(days=30)
#: Bits that addresses of one provider or one building share.
NETWORK_BITS = {4: 16, 6: 48}

NEW_PLACE = "Foi em um aparelho ou em uma rede que você ainda não tinha usado aqui."
AFTER_TRIES = "Antes desta entrada, houve várias tentativas recusadas com o seu CPF."


def look(user: User, request: HttpRequest) -> None:
    """Right before a sign-in is recorded: compare it with the earlier ones, and tell the person what is unusual.

    Somebody without an address is told nothing; the event is there for the staff. Called after the right password
    only, so what it costs tells nobody who exists.
    """
    before = SecurityEvent.objects.filter(user=user, kind=SecurityEvent.Kind.SIGNED_IN)
    last = before.order_by("-at").values_list("at", flat=True).first()
    why = []
    if last is not None and not throttle.known_device(request, user.cpf):
        places = before.order_by().values_list("device", "address").distinct()
        if place_of(device_of(request), client_address(request)) not in {place_of(*place) for place in places}:
            why.append(NEW_PLACE)
    since = timezone.now() - LOOKED_BACK
    if refused_tries(user.cpf, after=max(last, since) if last else since) >= MANY_TRIES:
        why.append(AFTER_TRIES)
    if why:
        tell(user, request, " ".join(why))


def place_of(device: str, address: str | None) -> tuple[str, str]:
    """A kind of device and a network, so that a browser's update or the next address of a pool is nothing new."""
    if address is None:
        return devices.kind(device), ""
    bits = NETWORK_BITS[6 if ":" in address else 4]
    return devices.kind(device), str(ip_network(f"{address}/{bits}", strict=False))


def refused_tries(cpf: str, *, after: datetime) -> int:
    """How often this CPF was refused since then; no more are counted than it takes."""
    refused = SecurityEvent.objects.filter(
        typed_digest=security.digest(cpf), kind=SecurityEvent.Kind.SIGN_IN_FAILED, at__gt=after
    )
    return refused.order_by()[:MANY_TRIES].count()


@transaction.atomic
def tell(user: User, request: HttpRequest, why: str) -> None:
    """Record it and owe the mail."""
    event = security.record(SecurityEvent.Kind.SUSPICIOUS_SIGN_IN, user=user, actor=user, request=request, detail=why)
    if user.email:
        outbox.owe(SUSPICIOUS_SIGN_IN, recipient=user, about=event.pk)
