"""Provisional passwords: issued with a decision, derived when a mail is made, known to nobody but the mail."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import secret_keys, security
from .models import ProvisionalPassword, SecurityEvent, User
from .outbox import SupersededError, UndeliverableError

#: Who has not chosen a password by then is warned, this long before the provisional one lapses.
WARNING = timedelta(days=1)


def issue(user: User, *, by: User | None, renew: bool = False) -> ProvisionalPassword | None:
    """The provisional password that a mail to this person shall carry, made if need be.

    None where there is nothing to carry: the person chose a password, or holds a mailed provisional one that is still
    good. ``renew`` replaces either. The caller holds a transaction and the person's lock.
    """
    if user.has_chosen_password and not renew:
        return None
    live = live_of(user)
    if live is not None and not renew:
        if live.nonce:
            return live  # not mailed yet: a second mail with the same password kills no first one
        if live.mailed_at is not None and not live.has_lapsed:
            return None
    if live is not None:
        end(user)
    if user.has_usable_password():  # opens nothing any more, from this moment and not from the mailing
        user.set_unusable_password()
        user.save(update_fields=["password"])
    security.record(SecurityEvent.Kind.PROVISIONAL_ISSUED, user=user, actor=by)
    return ProvisionalPassword.objects.create(
        user=user, nonce=secret_keys.new_nonce(), key_version=secret_keys.newest_version()
    )


def may_replace(user: User) -> bool:
    """Whether a provisional password may take the place of what the person signs in with.

    Not of what somebody of the staff has chosen: whoever decides a request would shut them out of the desk, and the
    mail alone would let one in there. They have "Esqueci a senha", and Gestão (``support.send_link``).
    """
    return not (user.has_chosen_password and (user.is_staff or user.is_superuser))


def live_of(user: User) -> ProvisionalPassword | None:
    """The one that is neither changed nor replaced, locked: a worker that mails it just now is about to change it."""
    locked = ProvisionalPassword.objects.select_for_update(of=("self",), no_key=True)
    return locked.filter(user=user, ended_at=None).first()


def end(user: User) -> None:
    """Changed, replaced or revoked: no mail may carry it any more."""
    ProvisionalPassword.objects.filter(user=user, ended_at=None).update(ended_at=timezone.now(), nonce="")


def end_mailed(people: Collection[User]) -> None:
    """Those that were mailed to these people open nothing any more. The caller holds their locks."""
    live = ProvisionalPassword.objects.select_for_update(of=("self",), no_key=True).order_by("user")
    mailed = {one.user_id for one in live.filter(user__in=people, ended_at=None) if one.mailed_at is not None}
    received = [user for user in people if user.pk in mailed]
    for user in received:
        user.set_unusable_password()
    User.objects.bulk_update(received, ["password"])
    ProvisionalPassword.objects.filter(user__in=received, ended_at=None).update(ended_at=timezone.now(), nonce="")


def has_lapsed(user: User) -> bool:
    """Whether the person's password is a provisional one whose days are over: it opens nothing any more."""
    if not user.must_change_password:
        return False
    live = user.provisional_passwords.filter(ended_at=None).first()
    return live is not None and live.has_lapsed


def lapsing() -> QuerySet[ProvisionalPassword]:
    """Those that lapse within ``WARNING`` and have not been changed, of people who can be told.

    Not while a mail still waits to bring one (it has its nonce): its days begin anew with that.
    """
    now = timezone.now()
    waiting = User.objects.filter(is_active=True, must_change_password=True).exclude(email="")
    return ProvisionalPassword.objects.filter(
        ended_at=None, nonce="", lapses_at__gt=now, lapses_at__lte=now + WARNING, user__in=waiting
    )


def reveal(pk: int) -> str:
    """The password, for the mail that is being made; the first time it becomes the person's password.

    The order matters: lock the person, commit the hash, and only then send (DESIGN §8). Raises SupersededError if it
    is not the person's password any more.
    """
    live = ProvisionalPassword.objects.select_related("user").get(pk=pk)
    if live.ended_at is not None or not live.nonce:
        raise SupersededError("A pessoa já tem outra senha.")
    try:
        password = secret_keys.provisional_password(live.nonce, live.key_version)
    except secret_keys.KeyGoneError:
        raise UndeliverableError("A chave desta senha foi retirada: reemita a credencial.") from None
    if live.set_at is None:
        _set(live, make_password(password))  # hashed here, outside the transaction
    elif not check_password(password, live.user.password):
        raise SupersededError("A pessoa já trocou a senha.")
    return password


@transaction.atomic
def _set(live: ProvisionalPassword, encoded: str) -> None:
    user = User.objects.locked(live.user_id)
    now = ProvisionalPassword.objects.select_for_update(of=("self",), no_key=True).get(pk=live.pk)
    if now.ended_at is not None:
        raise SupersededError("A pessoa já tem outra senha.")
    if now.set_at is None:  # else another worker was quicker, with the same password
        user.password = encoded
        user.must_change_password = True
        user.save(update_fields=["password", "must_change_password"])
        now.set_at = timezone.now()
        now.save(update_fields=["set_at"])


def mailed(pk: int, *, needed_by_another_mail: bool) -> None:
    """The server took a mail with it: its days begin, and the nonce goes when no other mail waits for it."""
    now = timezone.now()
    fields = {"mailed_at": now, "lapses_at": now + timedelta(days=settings.PROVISIONAL_PASSWORD_DAYS)}
    ProvisionalPassword.objects.filter(pk=pk, ended_at=None).update(**fields)
    if not needed_by_another_mail:
        forget(pk)


def forget(pk: int) -> None:
    """Wipe the nonce: nobody, we included, can derive the password again. One that nobody got is over."""
    ProvisionalPassword.objects.filter(pk=pk).update(nonce="")
    ProvisionalPassword.objects.filter(pk=pk, set_at=None, ended_at=None).update(ended_at=timezone.now())


def lock(pk: int) -> None:
    """Until the caller's transaction ends, nobody else settles a mail with it or issues it again."""
    ProvisionalPassword.objects.select_for_update(of=("self",), no_key=True).get(pk=pk)
