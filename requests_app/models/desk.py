"""What the desk works with beside the requests themselves: free days, decisions on many, files."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User

from .catalogue import ReasonTemplate
from .requests import AccessRequest, Status

#: Bytes of one file, and files of one request.
LARGEST_FILE = 10 * 1024 * 1024
MOST_FILES = 5
#: Requests that one decision may be about.
MOST_AT_ONCE = 1000


class Holiday(models.Model):
    """Days on which the court does not work, Saturdays and Sundays aside."""

    class Scope(models.TextChoices):
        NATIONAL = "NATIONAL", "Nacional"
        STATE = "STATE", "Mato Grosso do Sul"
        COURT = "COURT", "Tribunal"

    starts_on = models.DateField("início")
    ends_on = models.DateField("fim", help_text="O mesmo dia, para um dia só.")
    name = models.CharField("feriado", max_length=80)
    scope = models.CharField("âmbito", max_length=8, choices=Scope)

    class Meta:
        verbose_name = "feriado"
        verbose_name_plural = "feriados"
        ordering = ("starts_on", "name")
        constraints = (
            models.CheckConstraint(name="holiday_known_scope", condition=Q(scope__in=("NATIONAL", "STATE", "COURT"))),
            models.CheckConstraint(
                name="holiday_ends_after_it_starts",
                condition=Q(ends_on__gte=F("starts_on")),
                violation_error_message="O fim não pode ser antes do início.",
            ),
            models.UniqueConstraint(
                name="holiday_once",
                fields=("starts_on", "name"),
                violation_error_message="Este feriado já está na lista.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}, {self.starts_on:%d/%m/%Y}"


class Batch(models.Model):
    """One decision about many requests, each of which was moved, or not, by itself."""

    #: The one-use mark of the page that it came from: the same page sent twice decides nothing twice.
    nonce = models.UUIDField(unique=True, editable=False)
    by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="quem")
    to = models.CharField("decisão", max_length=10, choices=Status)
    note = models.TextField("motivo", blank=True)
    reason = models.ForeignKey(ReasonTemplate, models.PROTECT, null=True, related_name="+", verbose_name="modelo")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "decisão em lote"
        verbose_name_plural = "decisões em lote"
        ordering = ("-pk",)
        constraints = (
            models.CheckConstraint(
                name="batch_known_decision", condition=Q(to__in=("APPROVED", "RETURNED", "REJECTED"))
            ),
        )

    def __str__(self) -> str:
        return f"lote {self.pk}"


class BatchOutcome(models.Model):
    """What came of one request of a batch."""

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="outcomes", verbose_name="lote")
    request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="+", verbose_name="solicitação")
    #: Why it was not moved; nothing where it was.
    refusal = models.CharField("recusa", max_length=300, blank=True)

    class Meta:
        verbose_name = "resultado do lote"
        verbose_name_plural = "resultados dos lotes"
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(name="batch_outcome_once", fields=("batch", "request")),)

    def __str__(self) -> str:
        return f"resultado {self.pk}"


class Attachment(models.Model):
    """A file that came with a request, or a despacho of the staff. Its bytes lie under ``ATTACHMENTS_DIR``."""

    class Kind(models.TextChoices):
        REQUEST = "REQUEST", "Anexo do pedido"
        DESPACHO = "DESPACHO", "Despacho"

    class MediaType(models.TextChoices):
        PDF = "application/pdf", "PDF"
        JPEG = "image/jpeg", "JPEG"
        PNG = "image/png", "PNG"

    #: The name of the file on disk.
    key = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    #: Null while the form that it was sent with has not been filed.
    request = models.ForeignKey(
        AccessRequest, models.PROTECT, null=True, related_name="attachments", verbose_name="solicitação"
    )
    #: The mark of that form.
    form_nonce = models.UUIDField(null=True, db_index=True)
    kind = models.CharField("tipo", max_length=8, choices=Kind, default=Kind.REQUEST)
    name = models.CharField("nome do arquivo", max_length=150)
    media_type = models.CharField("formato", max_length=20, choices=MediaType)
    size = models.PositiveIntegerField("tamanho em bytes")
    #: Of the bytes, in 64 hexadecimal digits.
    sha256 = models.CharField(max_length=64)
    uploaded_by = models.ForeignKey(User, models.PROTECT, related_name="attachments", verbose_name="enviado por")
    at = models.DateTimeField("enviado em", default=timezone.now)

    class Meta:
        verbose_name = "anexo"
        verbose_name_plural = "anexos"
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(name="attachment_known_kind", condition=Q(kind__in=("REQUEST", "DESPACHO"))),
            models.CheckConstraint(
                name="attachment_known_media_type",
                condition=Q(media_type__in=("application/pdf", "image/jpeg", "image/png")),
            ),
            models.CheckConstraint(name="attachment_has_a_size", condition=Q(size__gte=1, size__lte=LARGEST_FILE)),
            models.CheckConstraint(
                name="attachment_belongs_somewhere", condition=Q(request__isnull=False) | Q(form_nonce__isnull=False)
            ),
            models.CheckConstraint(
                name="attachment_despacho_of_a_request", condition=~Q(kind="DESPACHO") | Q(request__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"anexo {self.pk}"
