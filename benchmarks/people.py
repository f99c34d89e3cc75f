"""Whom the measurements ask about: people of each kind, and CPFs that belong to nobody."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import User

#: Of the same length, so that the two requests are.
RIGHT, WRONG = "jabuticaba no quintal azul", "jabuticaba no quintal roxo"
#: CPFs to draw from; about 128 million are valid and have this form (``accounts.tests.factories.cpf_of``).
NUMBERS = range(1_000_000, 100_000_000)
BATCH = 500


@dataclass(frozen=True)
class Kind:
    """What is true of somebody whose CPF is typed."""

    name: str
    exists: bool = True
    is_active: bool = True
    has_address: bool = True
    has_password: bool = True
    has_lapsed: bool = False
    is_throttled: bool = False
    types: str = WRONG


KNOWN = Kind("known")
UNKNOWN = Kind("unknown", exists=False)
INACTIVE = Kind("inactive", is_active=False)
INACTIVE_RIGHT = Kind("inactive, right password", is_active=False, types=RIGHT)
NO_ADDRESS = Kind("no address", has_address=False)
NO_PASSWORD = Kind("no password", has_password=False)
LAPSED = Kind("lapsed provisional", has_lapsed=True)
THROTTLED = Kind("throttled, known", is_throttled=True)
THROTTLED_UNKNOWN = Kind("throttled, unknown", exists=False, is_throttled=True)


@dataclass(frozen=True)
class Someone:
    """One CPF, typed once."""

    cpf: str
    kind: Kind


def draw(count: int, chance: random.Random) -> list[str]:
    """So many different valid CPFs, at random: those of people and those of nobody are mixed in every order."""
    from accounts.tests.factories import cpf_of

    return [cpf_of(number) for number in chance.sample(NUMBERS, count)]


def store(everybody: Iterable[Someone]) -> None:
    """Write those who exist, and what the throttle has counted of those who have tried too often."""
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    somebody = list(everybody)
    chosen = make_password(RIGHT)
    users = [_user(someone, chosen) for someone in somebody if someone.kind.exists]
    User.objects.bulk_create(users, batch_size=BATCH)
    by_cpf = {user.cpf: user for user in users}
    _lapse([by_cpf[someone.cpf] for someone in somebody if someone.kind.has_lapsed])
    _throttle([someone.cpf for someone in somebody if someone.kind.is_throttled])


def _user(someone: Someone, chosen: str) -> User:
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    user = User(
        cpf=someone.cpf,
        name="SERVIDORA DE SOUZA",
        email=f"pessoa.{someone.cpf}@tjms.jus.br" if someone.kind.has_address else "",
        password=chosen if someone.kind.has_password else make_password(None),
        is_active=someone.kind.is_active,
        must_change_password=someone.kind.has_lapsed,
    )
    user.search_name = user.folded_names()
    return user


def _lapse(users: Sequence[User]) -> None:
    from django.utils import timezone

    from accounts.models import ProvisionalPassword

    now = timezone.now()
    dates = {"set_at": now - timedelta(days=8), "mailed_at": now - timedelta(days=8), "lapses_at": now - timedelta(1)}
    lapsed = [ProvisionalPassword(user=user, key_version="1", **dates) for user in users]
    ProvisionalPassword.objects.bulk_create(lapsed, batch_size=BATCH)


def _throttle(cpfs: Sequence[str]) -> None:
    """As after many tries, at both doors; the wait outlasts the measurement."""
    from django.http import HttpRequest
    from django.utils import timezone

    from accounts import throttle
    from accounts.models import ThrottleCount

    until = timezone.now() + timedelta(days=1)
    stranger = HttpRequest()
    keys = [(throttle.SIGN_IN, throttle.sign_in_key(stranger, cpf)) for cpf in cpfs]
    keys += [(throttle.RESET, cpf) for cpf in cpfs]
    counts = [
        ThrottleCount(scope=limit.scope, key=throttle.key_of(key), count=20, window_ends_at=until, blocked_until=until)
        for limit, key in keys
    ]
    ThrottleCount.objects.bulk_create(counts, batch_size=BATCH)
