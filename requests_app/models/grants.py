"""The accesses that requests gave, and their history."""

from __future__ import annotations

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import ProvisionalPassword, Unit, User

from .catalogue import UserType
from .requests import AccessRequest


class GrantStatus(models.TextChoices):
    ACTIVE = "ACTIVE", "Ativo"
    SUSPENDED = "SUSPENDED", "Suspenso"
    TO_REVOKE = "TO_REVOKE", "A revogar"
    REVOKED = "REVOKED", "Revogado"
    EXPIRED = "EXPIRED", "Vencido"


LIVE_GRANT = (GrantStatus.ACTIVE, GrantStatus.SUSPENDED, GrantStatus.TO_REVOKE)


class AccessGrantQuerySet(models.QuerySet["AccessGrant"]):
    def live(self) -> AccessGrantQuerySet:
        return self.filter(status__in=LIVE_GRANT)

    def opening(self) -> AccessGrantQuerySet:
        """Those that let the person in: an end that was asked for leaves it as it was until somebody decides."""
        steps = GrantEvent.objects.filter(grant=OuterRef("pk"), to_status=GrantStatus.TO_REVOKE)
        asked = steps.exclude(from_status=GrantStatus.TO_REVOKE).order_by("-pk")
        was_active = Q(status=GrantStatus.TO_REVOKE, was=GrantStatus.ACTIVE)
        was = Subquery(asked.values("from_status")[:1])
        return self.alias(was=was).filter(Q(status=GrantStatus.ACTIVE) | was_active)


class AccessGrant(models.Model):
    """What a completed request gave, or what somebody had before the portal. ``status`` is written only by
    ``workflow``."""

    #: Null where the access is older than the portal (``import_grants``).
    request = models.OneToOneField(
        AccessRequest, models.PROTECT, null=True, related_name="grant", verbose_name="solicitação"
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="grants", verbose_name="pessoa")
    user_type = models.ForeignKey(UserType, models.PROTECT, related_name="grants", verbose_name="tipo de usuário")
    unit = models.ForeignKey(Unit, models.PROTECT, null=True, related_name="grants", verbose_name="unidade")
    status = models.CharField("situação", max_length=10, choices=GrantStatus, default=GrantStatus.ACTIVE)
    granted_at = models.DateTimeField("desde", default=timezone.now)
    #: The last day on which it holds; null where it has no end.
    expires_on = models.DateField("vale até", null=True)

    objects = AccessGrantQuerySet.as_manager()

    class Meta:
        verbose_name = "acesso"
        verbose_name_plural = "acessos"
        ordering = ("-pk",)
        constraints = (
            models.CheckConstraint(name="access_grant_known_status", condition=Q(status__in=GrantStatus.values)),
            models.UniqueConstraint(
                name="access_grant_one_live_per_user_type",
                fields=("user", "user_type"),
                condition=Q(status__in=LIVE_GRANT, unit=None),
            ),
            models.UniqueConstraint(
                name="access_grant_one_live_per_user_type_and_unit",
                fields=("user", "user_type", "unit"),
                condition=Q(status__in=LIVE_GRANT, unit__isnull=False),
            ),
        )
        indexes = (
            models.Index(name="access_grant_since", fields=("granted_at",)),
            models.Index(name="access_grant_to_revoke", fields=("id",), condition=Q(status=GrantStatus.TO_REVOKE)),
            models.Index(
                name="access_grant_with_an_end",
                fields=("expires_on",),
                condition=Q(status__in=LIVE_GRANT, expires_on__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"acesso {self.pk}"


#: What a move is called where it is not called as what it leads to.
MOVED: dict[tuple[str, str], str] = {
    (GrantStatus.ACTIVE, GrantStatus.TO_REVOKE): "Fim pedido",
    (GrantStatus.SUSPENDED, GrantStatus.TO_REVOKE): "Fim pedido",
    (GrantStatus.TO_REVOKE, GrantStatus.ACTIVE): "Mantido",
    (GrantStatus.TO_REVOKE, GrantStatus.SUSPENDED): "Mantido suspenso",
    (GrantStatus.SUSPENDED, GrantStatus.ACTIVE): "Retomado",
}
#: Why a mail about an access was made anew ("Tentar de novo").
NOT_DELIVERED = "O e-mail anterior não foi entregue."


class GrantEvent(models.Model):
    """The history of an access. Append-only."""

    grant = models.ForeignKey(AccessGrant, models.PROTECT, related_name="events", verbose_name="acesso")
    from_status = models.CharField("de", max_length=10, choices=GrantStatus, blank=True)
    to_status = models.CharField("para", max_length=10, choices=GrantStatus)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="quem")
    note = models.TextField("motivo", blank=True)
    #: The password that the mail about this event carries; null where the person keeps their own.
    provisional_password = models.ForeignKey(ProvisionalPassword, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "andamento do acesso"
        verbose_name_plural = "andamentos dos acessos"
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(
                name="grant_event_known_statuses",
                condition=Q(to_status__in=GrantStatus.values)
                & (Q(from_status="") | Q(from_status__in=GrantStatus.values)),
            ),
        )

    def __str__(self) -> str:
        return f"{self.grant_id}: {self.from_status} > {self.to_status}"

    @property
    def what(self) -> str:
        """What happened. The status alone does not tell it: new credentials and new ends leave it as it was.

        No query, if access and typed credential are selected with the step.
        """
        sent_again = self.note == NOT_DELIVERED
        if not self.from_status and not sent_again:
            return "Concedido" if self.grant.request_id else "Trazido de antes do portal"
        if self.from_status in {"", self.to_status}:
            if self.provisional_password_id is not None or hasattr(self, "typed_credential"):
                return "Credencial reemitida"
            return "E-mail enviado de novo" if sent_again else "Novo prazo"
        return MOVED.get((self.from_status, self.to_status), self.get_to_status_display())


class TypedCredential(models.Model):
    """The login and first password of an account that an analyst made by hand in the other system."""

    event = models.OneToOneField(GrantEvent, models.PROTECT, related_name="typed_credential")
    login = models.CharField("login", max_length=150)
    #: Encrypted; erased as soon as the mail that carries it is settled.
    password = models.TextField(blank=True)

    class Meta:
        verbose_name = "credencial digitada"
        verbose_name_plural = "credenciais digitadas"

    def __str__(self) -> str:
        return f"credencial digitada {self.pk}"
