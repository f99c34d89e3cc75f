"""How somebody stands at the door: what the help desk has to know before it can help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from . import devices, provisional, sessions, throttle
from .desk import moment
from .models import SecurityEvent, User

Kind = SecurityEvent.Kind
LINK_KINDS = (Kind.RESET_REQUESTED, Kind.LINK_SENT_BY_STAFF, Kind.RESET_NOT_SENT)


@dataclass(frozen=True)
class Situation:
    """``obstacles``: a sentence for each thing that stands in the person's way, none where nothing does."""

    obstacles: list[str]
    last_sign_in: SecurityEvent | None
    #: The last time a link was asked for, and what came of it.
    last_link: SecurityEvent | None
    open_sessions: int

    @property
    def last_device(self) -> str:
        return devices.kind(self.last_sign_in.device) if self.last_sign_in else ""

    @property
    def no_link_because(self) -> str:
        """Why the last one who asked for a link got no mail; nothing where it was owed."""
        event = self.last_link
        return event.detail if event is not None and event.kind == Kind.RESET_NOT_SENT else ""


def of(person: User) -> Situation:
    """How the person stands now, for the staff who look at them."""
    return Situation(
        obstacles=list(_obstacles(person)),
        last_sign_in=_last(person, Kind.SIGNED_IN),
        last_link=_last(person, *LINK_KINDS),
        open_sessions=sessions.of(person).count(),
    )


def _day(at: datetime) -> str:
    return f"{timezone.localtime(at):%d/%m/%Y}"


def _last(person: User, *kinds: Kind) -> SecurityEvent | None:
    return person.security_events.filter(kind__in=kinds).order_by("-at", "-pk").first()


def can_have_link(person: User) -> bool:
    """Whether a mail with a link could go to this person at all, however many have gone already."""
    return person.is_active and bool(person.email)


def _obstacles(person: User) -> Iterator[str]:
    """What a link would mend is said only where one can be sent."""
    can_be_mended = can_have_link(person)
    if not person.is_active and person.left_at:
        yield f"Sem vínculo desde {_day(person.left_at)}; volta a entrar quando o cadastro trouxer um vínculo."
    elif not person.is_active:
        yield "A entrada desta pessoa está fechada. Nenhum link é enviado. Gestão pode abrir a entrada."
    if not person.email:
        yield "A pessoa não tem e-mail no cadastro. Nenhum link é enviado. Gestão pode corrigir o e-mail."
    if provisional.has_lapsed(person):
        yield "A senha provisória venceu." + (" O link de redefinição cria outra senha." if can_be_mended else "")
    elif not person.has_usable_password():
        yield "A pessoa ainda não tem senha." + (" O link de redefinição cria a primeira." if can_be_mended else "")
    if until := throttle.blocked_until(throttle.SIGN_IN, person.cpf):
        yield f"Houve tentativas de entrada demais. Em algum aparelho, nova tentativa só depois de {moment(until)}."
    if until := throttle.blocked_until(throttle.CODE, person.cpf):
        yield f"Houve códigos errados demais. Novo código só depois de {moment(until)}."
    if until := throttle.blocked_until(throttle.OLD_PASSWORD, person.cpf):
        yield f"A senha atual foi digitada errada vezes demais. Nova tentativa só depois de {moment(until)}."
    if until := throttle.blocked_until(throttle.RESET, person.cpf):
        yield f"Houve pedidos de link demais. Pela página, novo pedido só depois de {moment(until)}."
