"""What happened, kept so that nobody changes it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .people import User


class SecurityEvent(models.Model):
    """Append-only: what happened at the doors. Rows younger than the retention period cannot be deleted."""

    class Kind(models.TextChoices):
        SIGNED_IN = "SIGNED_IN", "Entrada"
        SIGN_IN_FAILED = "SIGN_IN_FAILED", "Entrada recusada"
        SIGNED_OUT = "SIGNED_OUT", "Saída"
        THROTTLED = "THROTTLED", "Tentativas em excesso"
        RESET_REQUESTED = "RESET_REQUESTED", "Redefinição pedida"
        RESET_NOT_SENT = "RESET_NOT_SENT", "Redefinição sem envio"
        PASSWORD_RESET = "PASSWORD_RESET", "Senha redefinida"
        PASSWORD_CHANGED = "PASSWORD_CHANGED", "Senha alterada"
        PROVISIONAL_ISSUED = "PROVISIONAL_ISSUED", "Senha provisória emitida"
        ADMINISTRATOR_MADE = "ADMINISTRATOR_MADE", "Administrador criado"
        MAIL_RETRIED = "MAIL_RETRIED", "Envio repetido"
        EMAIL_CHANGED = "EMAIL_CHANGED", "E-mail alterado"
        MAIL_DISMISSED = "MAIL_DISMISSED", "Problema de envio dado por resolvido"

    kind = models.CharField("evento", max_length=20, choices=Kind)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="security_events", verbose_name="pessoa")
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="feito por")
    #: Keyed digest of what was typed, so that attempts on one unknown CPF can be told to be on one.
    typed_digest = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField("endereço", null=True)
    device = models.CharField("navegador", max_length=200, blank=True)
    detail = models.CharField("detalhe", max_length=200, blank=True)
    at = models.DateTimeField("quando", default=timezone.now, db_index=True)

    class Meta:
        verbose_name = "evento de segurança"
        verbose_name_plural = "eventos de segurança"
        ordering = ("-at",)
        constraints = (
            models.CheckConstraint(
                name="security_event_known_kind",
                condition=Q(
                    kind__in=(
                        "SIGNED_IN",
                        "SIGN_IN_FAILED",
                        "SIGNED_OUT",
                        "THROTTLED",
                        "RESET_REQUESTED",
                        "RESET_NOT_SENT",
                        "PASSWORD_RESET",
                        "PASSWORD_CHANGED",
                        "PROVISIONAL_ISSUED",
                        "ADMINISTRATOR_MADE",
                        "MAIL_RETRIED",
                        "EMAIL_CHANGED",
                        "MAIL_DISMISSED",
                    )
                ),
            ),
        )

    def __str__(self) -> str:
        return f"evento {self.pk}"
