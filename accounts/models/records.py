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
        SUSPICIOUS_SIGN_IN = "SUSPICIOUS_SIGN_IN", "Entrada incomum"
        SESSION_ENDED = "SESSION_ENDED", "Sessão encerrada"
        LINK_REFUSED = "LINK_REFUSED", "Link recusado"
        LINK_SENT_BY_STAFF = "LINK_SENT_BY_STAFF", "Link enviado pela equipe"
        UNLOCKED = "UNLOCKED", "Entrada desbloqueada"
        ACCESS_OPENED = "ACCESS_OPENED", "Entrada liberada"
        ACCESS_CLOSED = "ACCESS_CLOSED", "Entrada bloqueada"
        ROLES_CHANGED = "ROLES_CHANGED", "Perfil da equipe alterado"
        DISCLOSED = "DISCLOSED", "Dado pessoal mostrado"
        EXPORTED = "EXPORTED", "Dados pessoais exportados"
        FACTOR_ON = "FACTOR_ON", "Segundo fator ligado"
        FACTOR_OFF = "FACTOR_OFF", "Segundo fator desligado"
        FACTOR_FAILED = "FACTOR_FAILED", "Código recusado"
        RECOVERY_CODES_MADE = "RECOVERY_CODES_MADE", "Códigos de recuperação criados"
        RECOVERY_CODE_USED = "RECOVERY_CODE_USED", "Código de recuperação usado"
        FACTOR_REMOVAL_ASKED = "FACTOR_REMOVAL_ASKED", "Retirada de segundo fator pedida"
        FACTOR_REMOVAL_ENDED = "FACTOR_REMOVAL_ENDED", "Retirada de segundo fator recusada"
        FACTOR_REMOVED = "FACTOR_REMOVED", "Segundo fator retirado pela equipe"
        PASSWORD_ACCEPTED = "PASSWORD_ACCEPTED", "Senha certa, código pedido"
        PASSWORD_REFUSED = "PASSWORD_REFUSED", "Senha atual recusada"
        FACTOR_ASK_LAPSED = "FACTOR_ASK_LAPSED", "Retirada de segundo fator vencida"
        PERSON_CHANGED = "PERSON_CHANGED", "Cadastro alterado"
        TERM_PUBLISHED = "TERM_PUBLISHED", "Termo publicado"
        TERM_ACCEPTED = "TERM_ACCEPTED", "Termo aceito"
        ATTACHMENT_READ = "ATTACHMENT_READ", "Anexo aberto"
        DIRECTORY_UPLOADED = "DIRECTORY_UPLOADED", "Arquivo de pessoal enviado"
        DIRECTORY_APPLIED = "DIRECTORY_APPLIED", "Arquivo de pessoal aplicado"
        DIRECTORY_DROPPED = "DIRECTORY_DROPPED", "Arquivo de pessoal não aplicado"

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
        indexes = (
            models.Index(name="security_event_typed", fields=("typed_digest", "at"), condition=~Q(typed_digest="")),
        )
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
                        "SUSPICIOUS_SIGN_IN",
                        "SESSION_ENDED",
                        "LINK_REFUSED",
                        "LINK_SENT_BY_STAFF",
                        "UNLOCKED",
                        "ACCESS_OPENED",
                        "ACCESS_CLOSED",
                        "ROLES_CHANGED",
                        "DISCLOSED",
                        "EXPORTED",
                        "FACTOR_ON",
                        "FACTOR_OFF",
                        "FACTOR_FAILED",
                        "RECOVERY_CODES_MADE",
                        "RECOVERY_CODE_USED",
                        "FACTOR_REMOVAL_ASKED",
                        "FACTOR_REMOVAL_ENDED",
                        "FACTOR_REMOVED",
                        "PASSWORD_ACCEPTED",
                        "PASSWORD_REFUSED",
                        "FACTOR_ASK_LAPSED",
                        "PERSON_CHANGED",
                        "TERM_PUBLISHED",
                        "TERM_ACCEPTED",
                        "ATTACHMENT_READ",
                        "DIRECTORY_UPLOADED",
                        "DIRECTORY_APPLIED",
                        "DIRECTORY_DROPPED",
                    )
                ),
            ),
        )

    def __str__(self) -> str:
        return f"evento {self.pk}"


class Term(models.Model):
    """The term of responsibility, a row for each version; the newest is the one to accept. Never changed."""

    version = models.PositiveIntegerField("versão", unique=True)
    text = models.TextField("texto")
    at = models.DateTimeField("publicado em", default=timezone.now)
    published_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="publicado por")

    class Meta:
        verbose_name = "termo de responsabilidade"
        verbose_name_plural = "termos de responsabilidade"
        ordering = ("-version",)
        constraints = (
            models.CheckConstraint(name="term_has_a_text", condition=~Q(text="")),
            models.CheckConstraint(name="term_versions_count_from_one", condition=Q(version__gte=1)),
        )

    def __str__(self) -> str:
        return f"versão {self.version}"


class TermAcceptance(models.Model):
    """Who accepted which version, when and from where. Append-only."""

    user = models.ForeignKey(User, models.PROTECT, related_name="term_acceptances", verbose_name="pessoa")
    term = models.ForeignKey(Term, models.PROTECT, related_name="acceptances", verbose_name="termo")
    at = models.DateTimeField("quando", default=timezone.now)
    address = models.GenericIPAddressField("endereço", null=True)
    device = models.CharField("navegador", max_length=200, blank=True)

    class Meta:
        verbose_name = "aceite do termo"
        verbose_name_plural = "aceites do termo"
        ordering = ("-at",)
        constraints = (models.UniqueConstraint(name="term_acceptance_once_per_person", fields=("user", "term")),)

    def __str__(self) -> str:
        return f"aceite {self.pk}"
