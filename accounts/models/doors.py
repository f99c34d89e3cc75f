"""How people enter: what opens, and what is counted at the doors."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .people import User


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
