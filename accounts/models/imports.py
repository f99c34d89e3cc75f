"""The personnel files that came through the browser, and what became of each."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .people import User


class DirectoryImport(models.Model):
    """A file from its arrival to its end. The file itself lies on the disk, and only until then."""

    class Status(models.TextChoices):
        PLANNING = "PLANNING", "Em leitura"
        PLANNED = "PLANNED", "Aguarda decisão"
        APPLYING = "APPLYING", "Em aplicação"
        APPLIED = "APPLIED", "Aplicado"
        FAILED = "FAILED", "Não pôde ser usado"
        DISCARDED = "DISCARDED", "Descartado"

    #: The file's name on the disk; it stands in no address.
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    file_name = models.CharField("arquivo", max_length=150)
    size = models.PositiveBigIntegerField("tamanho em bytes")
    status = models.CharField("situação", max_length=10, choices=Status, default=Status.PLANNING)
    #: The plan in words (``uploaded_imports.in_words``), masked; empty before there is one.
    plan = models.JSONField("plano", default=dict)
    #: Of the plan that is shown: who applies it says which one they saw.
    fingerprint = models.CharField(max_length=64, blank=True)
    #: Matrículas whose new CPF was confirmed; and how many bonds may end.
    accepted_cpfs = models.JSONField("CPFs confirmados", default=list)
    allowed_departures = models.PositiveIntegerField("encerramentos confirmados", default=0)
    #: Why it was not applied, in a sentence; also of a try that leaves the plan as it was.
    failure = models.TextField("motivo", blank=True)
    uploaded_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="enviado por")
    uploaded_at = models.DateTimeField("enviado em", default=timezone.now)
    #: Who said that it be applied, or not.
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="decidido por")
    ended_at = models.DateTimeField("concluído em", null=True)
    #: Since when a worker has it in hand, and how many took it up.
    claimed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = "arquivo de pessoal"
        verbose_name_plural = "arquivos de pessoal"
        ordering = ("-pk",)
        permissions = (("import_directory", "Pode enviar e aplicar o arquivo de pessoal"),)
        indexes = (
            models.Index(
                name="directory_import_open",
                fields=("status",),
                condition=Q(status__in=("PLANNING", "PLANNED", "APPLYING")),
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="directory_import_known_status",
                condition=Q(status__in=("PLANNING", "PLANNED", "APPLYING", "APPLIED", "FAILED", "DISCARDED")),
            ),
            models.CheckConstraint(
                name="directory_import_ended_has_a_time",
                condition=(~Q(status__in=("PLANNING", "PLANNED", "APPLYING")) | Q(ended_at=None))
                & (~Q(status__in=("APPLIED", "FAILED", "DISCARDED")) | Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="directory_import_failed_says_why", condition=~Q(status="FAILED") | ~Q(failure="")
            ),
            models.CheckConstraint(
                name="directory_import_applied_by_somebody",
                condition=~Q(status__in=("APPLYING", "APPLIED")) | Q(decided_by__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"arquivo {self.pk}"
