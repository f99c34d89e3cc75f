"""The post that people are owed."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from .people import User


class MailStatus(models.TextChoices):
    PENDING = "PENDING", "Na fila"
    SENT = "SENT", "Enviado"
    SUPERSEDED = "SUPERSEDED", "Substituído"
    FAILED = "FAILED", "Não entregue"


class OutgoingMail(models.Model):
    """One mail owed to somebody: never a body, never a secret (DESIGN §8)."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField("mensagem", max_length=40)
    recipient = models.ForeignKey(User, models.PROTECT, related_name="mails", verbose_name="destinatário")
    object_id = models.BigIntegerField("sobre")
    status = models.CharField("situação", max_length=10, choices=MailStatus, default=MailStatus.PENDING)
    attempts = models.PositiveIntegerField("tentativas", default=0)
    created_at = models.DateTimeField("criada em", default=timezone.now)
    #: The database's clock: a web server whose own is fast must not delay a mail.
    next_at = models.DateTimeField("próxima tentativa", db_default=Now())
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    sent_at = models.DateTimeField("enviada em", null=True)
    #: When somebody pressed "Tentar de novo": from then on the days of patience count anew.
    retried_at = models.DateTimeField("tentada de novo em", null=True)
    error = models.CharField("resposta do servidor", max_length=300, blank=True)
    #: Of the web request that owed it (``correlation``). The default stands in the database for the time of an
    #: upgrade, when the release before still writes.
    request_id = models.CharField("pedido web", max_length=32, blank=True, db_default="")

    class Meta:
        verbose_name = "mensagem"
        verbose_name_plural = "mensagens"
        permissions = (("retry", "Pode tentar de novo o envio"),)
        constraints = (
            models.UniqueConstraint(name="outgoing_mail_owed_once", fields=("kind", "object_id")),
            models.CheckConstraint(name="outgoing_mail_known_status", condition=Q(status__in=MailStatus.values)),
            models.CheckConstraint(
                name="outgoing_mail_sent_has_a_time",
                # One that came back, or was replaced after that, keeps the time at which the server took it.
                condition=Q(status=MailStatus.SENT, sent_at__isnull=False)
                | Q(status=MailStatus.PENDING, sent_at=None)
                | Q(status__in=(MailStatus.FAILED, MailStatus.SUPERSEDED)),
            ),
        )
        indexes = (
            models.Index(name="outgoing_mail_due", fields=("next_at",), condition=Q(status=MailStatus.PENDING)),
            models.Index(name="outgoing_mail_failed", fields=("id",), condition=Q(status=MailStatus.FAILED)),
        )

    def __str__(self) -> str:
        return f"mensagem {self.uuid}"


class Heartbeat(models.Model):
    """When something that must go on by itself last did; the database's clock."""

    name = models.CharField(max_length=20, primary_key=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "sinal de vida"
        verbose_name_plural = "sinais de vida"

    def __str__(self) -> str:
        return self.name
