"""How people enter: what opens, and what is counted at the doors."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from .people import User

if TYPE_CHECKING:
    Device = models.Model
    DeviceManager = models.Manager
else:  # django-otp comes without types
    from django_otp.models import Device, DeviceManager


class ProvisionalPassword(models.Model):
    """A password that we made. It is derived from the nonce when a mail is made and stands nowhere else."""

    user = models.ForeignKey(User, models.PROTECT, related_name="provisional_passwords")
    #: Wiped as soon as no mail needs it any more.
    nonce = models.CharField(max_length=32, blank=True)
    key_version = models.CharField(max_length=12)
    created_at = models.DateTimeField(default=timezone.now)
    #: When its hash became the person's password.
    set_at = models.DateTimeField(null=True)
    #: When the mail server took it; it lapses ``PROVISIONAL_PASSWORD_DAYS`` later.
    mailed_at = models.DateTimeField(null=True)
    lapses_at = models.DateTimeField(null=True)
    #: Changed, replaced or revoked.
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "senha provisória"
        verbose_name_plural = "senhas provisórias"
        constraints = (
            models.UniqueConstraint(
                name="provisional_password_one_live_per_person", fields=("user",), condition=Q(ended_at=None)
            ),
            models.CheckConstraint(
                name="provisional_password_lapses_once_mailed",
                condition=Q(mailed_at=None, lapses_at=None) | Q(mailed_at__isnull=False, lapses_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"senha provisória {self.pk}"

    @property
    def has_lapsed(self) -> bool:
        return self.lapses_at is not None and self.lapses_at <= timezone.now()


class PasswordResetRequest(models.Model):
    """A CPF that somebody typed, whoever it is; gone once the worker has looked the person up."""

    cpf = models.CharField(max_length=11)
    address = models.GenericIPAddressField(null=True)
    #: Of the web request that brought it, so that the worker's lines in the log can be told to belong to it.
    request_id = models.CharField(max_length=32, blank=True, db_default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "pedido de redefinição"
        verbose_name_plural = "pedidos de redefinição"

    def __str__(self) -> str:
        return f"pedido de redefinição {self.pk}"


class ThrottleCount(models.Model):
    """How often somebody has tried; ``key`` is a keyed digest, never what was typed."""

    scope = models.CharField(max_length=20)
    key = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=0)
    window_ends_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "contagem de tentativas"
        verbose_name_plural = "contagens de tentativas"
        constraints = (models.UniqueConstraint(name="throttle_count_one_per_key", fields=("scope", "key")),)
        indexes = (models.Index(name="throttle_count_old", fields=("window_ends_at",)),)

    def __str__(self) -> str:
        return f"{self.scope} {self.pk}"


class SpentChallenge(models.Model):
    """A captcha challenge that was solved and used; kept until it would have lapsed anyway."""

    digest = models.CharField(max_length=64, unique=True)
    lapses_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "desafio usado"
        verbose_name_plural = "desafios usados"

    def __str__(self) -> str:
        return f"desafio {self.pk}"


class Session(AbstractBaseSession):
    """A browser that is signed in, or on its way. The row holds a digest of the key that the browser has."""

    session_key = models.CharField(max_length=64, primary_key=True)
    #: What a page names a session by; it opens nothing.
    mark = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="sessions", verbose_name="pessoa")
    signed_in_at = models.DateTimeField("entrada em", null=True)
    seen_at = models.DateTimeField("usada em", default=timezone.now)
    address = models.GenericIPAddressField("endereço", null=True)
    device = models.CharField("navegador", max_length=200, blank=True)

    class Meta:
        verbose_name = "sessão"
        verbose_name_plural = "sessões"
        constraints = (
            models.CheckConstraint(
                name="session_signed_in_has_a_time",
                condition=Q(user=None, signed_in_at=None) | Q(user__isnull=False, signed_in_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"sessão {self.mark}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        from ..sessions import SessionStore

        return SessionStore


class Authenticator(Device):
    """The telephone, or whatever else, that shows somebody's one-time codes (TOTP, RFC 6238)."""

    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="pessoa")
    confirmed = models.BooleanField("ligado", default=True)
    #: Encrypted with ``SECRETS_KEY``; in clear it is known to the telephone alone.
    encrypted_key = models.TextField()
    #: The time step of the last code that was taken: none is taken twice.
    last_step = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField("ligado em", default=timezone.now)

    objects: ClassVar[models.Manager[Authenticator]] = DeviceManager()

    class Meta:
        verbose_name = "autenticador"
        verbose_name_plural = "autenticadores"
        constraints = (
            models.UniqueConstraint(name="authenticator_one_per_person", fields=("user",), condition=Q(confirmed=True)),
        )

    def __str__(self) -> str:
        return f"autenticador {self.pk}"


class RecoveryCode(models.Model):
    """One of ten codes for who has lost the telephone; good once. Only its first four characters can be read here."""

    user = models.ForeignKey(User, models.PROTECT, related_name="recovery_codes", verbose_name="pessoa")
    #: Finds the row, so that one code costs one hash.
    selector = models.CharField(max_length=4)
    code_hash = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "código de recuperação"
        verbose_name_plural = "códigos de recuperação"
        constraints = (models.UniqueConstraint(name="recovery_code_one_per_selector", fields=("user", "selector")),)

    def __str__(self) -> str:
        return f"código de recuperação {self.pk}"


class FactorRemoval(models.Model):
    """Somebody lost the second factor. One of the staff asks to take it off, another confirms (four eyes)."""

    user = models.ForeignKey(User, models.PROTECT, related_name="factor_removals", verbose_name="pessoa")
    reason = models.CharField("motivo", max_length=200)
    asked_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="pedida por")
    asked_at = models.DateTimeField("pedida em", default=timezone.now)
    #: Past this it can only be asked anew.
    lapses_at = models.DateTimeField("vale até")
    confirmed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="confirmada por")
    confirmed_at = models.DateTimeField("confirmada em", null=True)
    #: Nobody, where nobody confirmed it in time.
    refused_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="recusada por")
    refused_at = models.DateTimeField("recusada em", null=True)

    class Meta:
        verbose_name = "retirada de segundo fator"
        verbose_name_plural = "retiradas de segundo fator"
        constraints = (
            models.CheckConstraint(
                name="factor_removal_confirmed_by_and_at_together",
                condition=Q(confirmed_by=None, confirmed_at=None)
                | Q(confirmed_by__isnull=False, confirmed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="factor_removal_refused_by_has_a_time",
                condition=Q(refused_by=None) | Q(refused_at__isnull=False),
            ),
            models.CheckConstraint(
                name="factor_removal_ends_one_way", condition=Q(confirmed_at=None) | Q(refused_at=None)
            ),
            models.CheckConstraint(
                name="factor_removal_takes_two_others",
                condition=~Q(asked_by=F("user"))
                & (Q(confirmed_by=None) | ~(Q(confirmed_by=F("user")) | Q(confirmed_by=F("asked_by")))),
            ),
            models.CheckConstraint(name="factor_removal_has_a_reason", condition=~Q(reason="")),
            models.UniqueConstraint(
                name="factor_removal_one_open_per_person",
                fields=("user",),
                condition=Q(confirmed_at=None, refused_at=None),
            ),
        )

    def __str__(self) -> str:
        return f"retirada de segundo fator {self.pk}"
