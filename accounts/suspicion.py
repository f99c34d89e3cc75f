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

NEW_PLACE = "Você ainda não tinha entrado com este tipo de aparelho nesta rede de internet."
AFTER_TRIES = "Antes desta entrada, houve várias tentativas recusadas com o seu CPF."
WITHOUT_CODE = "Alguém digitou a sua senha certa, mas errou várias vezes o código da verificação em duas etapas."


def look(user: User, request: HttpRequest) -> None:
    """Right before a sign-in is recorded: compare it with the earlier ones, and tell the person what is unusual.

    Somebody without an address is told nothing; the event is there for the staff. Called after the right password
    only, so what it costs tells nobody who exists.
    """
    before = SecurityEvent.objects.filter(user=user, kind=SecurityEvent.Kind.SIGNED_IN)
    last = before.order_by("-at").values_list("at", flat=True).first()
    why = []
    if last is not None and not is_trusted(request, user):
        places = before.order_by().values_list("device", "address").distinct()
        if place_of(device_of(request), client_address(request)) not in {place_of(*place) for place in places}:
            why.append(NEW_PLACE)
    since = timezone.now() - LOOKED_BACK
    if refused_tries(user.cpf, after=max(last, since) if last else since) >= MANY_TRIES:
        why.append(AFTER_TRIES)
    if why:
        tell(user, request, " ".join(why), actor=user)


def many_wrong_codes(user: User, request: HttpRequest) -> None:
    """Tell the person that somebody has the password and not the code."""
    tell(user, request, WITHOUT_CODE)


def is_trusted(request: HttpRequest, user: User) -> bool:
    """Whether this device signed in with the password of now: whoever had an earlier one may have its mark too."""
    if not throttle.known_device(request, user.cpf):
        return False
    kinds = (SecurityEvent.Kind.PASSWORD_CHANGED, SecurityEvent.Kind.PASSWORD_RESET)
    chosen = SecurityEvent.objects.filter(user=user, kind__in=kinds).order_by("-at").values_list("at", flat=True)
    return bool(throttle.known_device(request, user.cpf, since=chosen.first()))


def place_of(device: str, address: str | None) -> tuple[str, str]:
    """A kind of device and a network, so that a browser's update or the next address of a pool is nothing new."""
    if address is None:
        return devices.kind(device), ""
    bits = NETWORK_BITS[6 if ":" in address else 4]
    return devices.kind(device), str(ip_network(f"{address}/{bits}", strict=False))


def refused_tries(cpf: str, *, after: datetime) -> int:
    """How often this CPF was refused since then; no more are counted than it takes."""
    refused = SecurityEvent.objects.filter(
        typed_digest__in=security.digests(cpf), kind=SecurityEvent.Kind.SIGN_IN_FAILED, at__gt=after
    )
    return refused.order_by()[:MANY_TRIES].count()


@transaction.atomic
def tell(user: User, request: HttpRequest, why: str, actor: User | None = None) -> None:
    """Record it and owe the mail. ``actor``: who came in, if somebody did."""
    event = security.record(SecurityEvent.Kind.SUSPICIOUS_SIGN_IN, user=user, actor=actor, request=request, detail=why)
    if user.email:
        outbox.owe(SUSPICIOUS_SIGN_IN, recipient=user.pk, about=event.pk)
