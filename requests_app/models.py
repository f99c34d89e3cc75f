"""What people may ask for, what they asked, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from accounts.masking import masked_address
from accounts.models import Employment, ProvisionalPassword, Unit, User


class ExternalSystem(models.Model):
    """A system that others run and that people may ask access to."""

    class Credential(models.TextChoices):
        PORTAL = "PORTAL", "Senha do portal (login = CPF)"
        OPERATOR = "OPERATOR", "Cadastrado à mão por um analista, com senha do outro sistema"
        OWN = "OWN", "O outro sistema envia a própria senha"

    name = models.CharField("sistema", max_length=80, unique=True)
    purpose = models.CharField("para que serve", max_length=300, blank=True)
    url = models.URLField("endereço", blank=True)
    credential = models.CharField("como nasce a credencial", max_length=10, choices=Credential)
    instructions = models.TextField("instruções", blank=True, help_text="Vão no e-mail de acesso liberado.")
    successor = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name="substituído por"
    )
    is_active = models.BooleanField("aceita pedidos", default=True)

    class Meta:
        verbose_name = "sistema externo"
        verbose_name_plural = "sistemas externos"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                name="external_system_known_credential",
                condition=Q(credential__in=("PORTAL", "OPERATOR", "OWN")),
            ),
            models.CheckConstraint(
                name="external_system_not_its_own_successor", condition=Q(successor=None) | ~Q(successor=F("id"))
            ),
        )

    def __str__(self) -> str:
        return self.name


class SystemNotice(models.Model):
    """A dated notice of a system, shown on the guidance page."""

    class Kind(models.TextChoices):
        INFORMATION = "INFORMATION", "INFORMAÇÃO"
        ATTENTION = "ATTENTION", "ATENÇÃO!"

    system = models.ForeignKey(ExternalSystem, models.CASCADE, related_name="notices", verbose_name="sistema")
    kind = models.CharField("tipo", max_length=12, choices=Kind, default=Kind.INFORMATION)
    text = models.TextField("texto")
    published_on = models.DateField("data", default=timezone.localdate)

    class Meta:
        verbose_name = "aviso"
        verbose_name_plural = "avisos"
        ordering = ("-published_on", "pk")
        constraints = (
            models.CheckConstraint(name="system_notice_known_kind", condition=Q(kind__in=("INFORMATION", "ATTENTION"))),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.published_on:%d/%m/%Y}"


class UserType(models.Model):
    """A profile of one system: Consulta, Servidor, Magistrado…"""

    system = models.ForeignKey(ExternalSystem, models.PROTECT, related_name="user_types", verbose_name="sistema")
    name = models.CharField("tipo de usuário", max_length=80)
    is_active = models.BooleanField("aceita pedidos", default=True)

    class Meta:
        verbose_name = "tipo de usuário"
        verbose_name_plural = "tipos de usuário"
        ordering = ("system__name", "name")
        constraints = (
            models.UniqueConstraint(
                name="user_type_once_per_system",
                fields=("system", "name"),
                violation_error_message="Este sistema já tem este tipo de usuário.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.system} – {self.name}"


class Status(models.TextChoices):
    PENDING = "PENDING", "Pendente"
    IN_REVIEW = "IN_REVIEW", "Em análise"
    RETURNED = "RETURNED", "Devolvida para correção"
    APPROVED = "APPROVED", "Aprovada"
    COMPLETED = "COMPLETED", "Concluída"
    REJECTED = "REJECTED", "Indeferida"
    CANCELLED = "CANCELLED", "Cancelada"
    EXPIRED = "EXPIRED", "Expirada"


OPEN = (Status.PENDING, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED)
WAITING = (Status.PENDING, Status.IN_REVIEW)
DECIDED = (Status.APPROVED, Status.COMPLETED, Status.REJECTED)


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    def open(self) -> AccessRequestQuerySet:
        return self.filter(status__in=OPEN)

    def waiting(self) -> AccessRequestQuerySet:
        """What the Coordenadoria has to decide."""
        return self.filter(status__in=WAITING)

    def visible_to(self, user: User) -> AccessRequestQuerySet:
        """Those that the person made or that are for them."""
        return self.filter(Q(requester=user) | Q(beneficiary=user))


ALREADY_ASKED = "Já existe um pedido em andamento para esta pessoa e este sistema."
NOT_YOUR_OWN = "Ninguém decide um pedido que fez ou que é para si."


class AccessRequest(models.Model):
    """A request for one user type, for one bond of one person. ``status`` is written only by ``workflow``.

    Names, cargos and units stand as they were when it was filed.
    """

    protocol = models.CharField("protocolo", max_length=11, unique=True)
    #: The one-use mark of the form that it came from: the same form sent twice is the same request.
    form_nonce = models.UUIDField(unique=True, editable=False)
    requester = models.ForeignKey(User, models.PROTECT, related_name="requests_made", verbose_name="solicitante")
    requester_name = models.CharField("nome do solicitante", max_length=150)
    requester_cargo = models.CharField("cargo do solicitante", max_length=80)
    requester_lotacao = models.CharField("lotação do solicitante", max_length=240)
    requester_email = models.EmailField("email do solicitante")
    requester_phone = models.CharField("telefone do solicitante", max_length=30)
    beneficiary = models.ForeignKey(
        User, models.PROTECT, related_name="requests_for_me", verbose_name="efetuar cadastro para"
    )
    employment = models.ForeignKey(Employment, models.PROTECT, related_name="requests", verbose_name="vínculo")
    beneficiary_name = models.CharField("nome de quem terá o acesso", max_length=150)
    beneficiary_matricula = models.CharField("matrícula", max_length=10)
    beneficiary_cargo = models.CharField("cargo", max_length=80)
    beneficiary_lotacao = models.CharField("lotação", max_length=240)
    user_type = models.ForeignKey(UserType, models.PROTECT, related_name="requests", verbose_name="tipo usuário")
    unit = models.ForeignKey(Unit, models.PROTECT, null=True, related_name="requests", verbose_name="unidade")
    description = models.TextField("descrição solicitação", max_length=2000)
    status = models.CharField("situação", max_length=10, choices=Status, default=Status.PENDING)
    holder = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="em análise por")
    correct_by = models.DateField("corrigir até", null=True)
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="decidida por")
    decided_at = models.DateTimeField("decidida em", null=True)
    #: Null where the clock completed it, at once with the decision.
    completed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="registrada por")
    created_at = models.DateTimeField("pedida em", default=timezone.now)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        verbose_name = "solicitação"
        verbose_name_plural = "solicitações"
        ordering = ("-pk",)
        permissions = (("decide", "Pode decidir solicitações"),)
        constraints = (
            models.CheckConstraint(name="access_request_known_status", condition=Q(status__in=Status.values)),
            models.CheckConstraint(
                name="access_request_decided_by_and_at_together",
                condition=Q(decided_by=None, decided_at=None) | Q(decided_by__isnull=False, decided_at__isnull=False),
            ),
            models.CheckConstraint(
                name="access_request_decided_states_have_a_decision",
                condition=~Q(status__in=DECIDED) | Q(decided_by__isnull=False),
            ),
            models.CheckConstraint(
                name="access_request_not_self_decided",
                condition=Q(decided_by=None) | ~(Q(decided_by=F("requester")) | Q(decided_by=F("beneficiary"))),
                violation_error_message=NOT_YOUR_OWN,
            ),
            models.CheckConstraint(
                name="access_request_not_self_completed",
                condition=Q(completed_by=None) | ~(Q(completed_by=F("requester")) | Q(completed_by=F("beneficiary"))),
                violation_error_message=NOT_YOUR_OWN,
            ),
            models.CheckConstraint(
                name="access_request_registered_only_when_completed",
                condition=Q(completed_by=None) | Q(status=Status.COMPLETED),
            ),
            models.CheckConstraint(
                name="access_request_held_only_in_review",
                condition=Q(status=Status.IN_REVIEW, holder__isnull=False)
                | (~Q(status=Status.IN_REVIEW) & Q(holder=None)),
            ),
            models.CheckConstraint(
                name="access_request_returned_has_a_date",
                condition=~Q(status=Status.RETURNED) | Q(correct_by__isnull=False),
            ),
            models.UniqueConstraint(
                name="access_request_one_open_per_user_type",
                fields=("beneficiary", "user_type"),
                condition=Q(status__in=OPEN, unit=None),
                violation_error_message=ALREADY_ASKED,
            ),
            models.UniqueConstraint(
                name="access_request_one_open_per_user_type_and_unit",
                fields=("beneficiary", "user_type", "unit"),
                condition=Q(status__in=OPEN, unit__isnull=False),
                violation_error_message=ALREADY_ASKED,
            ),
        )
        indexes = (
            models.Index(name="access_request_waiting", fields=("id",), condition=Q(status__in=WAITING)),
            models.Index(name="access_request_mine", fields=("requester", "-id")),
            models.Index(name="access_request_for_me", fields=("beneficiary", "-id")),
            models.Index(name="access_request_overdue", fields=("correct_by",), condition=Q(status=Status.RETURNED)),
        )

    def __str__(self) -> str:
        return self.protocol

    def get_absolute_url(self) -> str:
        return reverse("request-detail", args=[self.protocol])

    @property
    def system(self) -> ExternalSystem:
        return self.user_type.system

    @property
    def masked_requester_email(self) -> str:
        return masked_address(self.requester_email)

    @property
    def return_reason(self) -> str:
        """Why it was last returned."""
        returned = self.events.filter(to_status=Status.RETURNED).last()
        return returned.note if returned else ""


class ProtocolCounter(models.Model):
    """The last number given out in a year."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "contador de protocolos"
        verbose_name_plural = "contadores de protocolos"

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class RequestEvent(models.Model):
    """The history of a request. Append-only: the database refuses anything else."""

    request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="events", verbose_name="solicitação")
    from_status = models.CharField("de", max_length=10, choices=Status, blank=True)
    to_status = models.CharField("para", max_length=10, choices=Status)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="quem")
    note = models.TextField("motivo", blank=True)
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "andamento"
        verbose_name_plural = "andamentos"
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(
                name="request_event_known_statuses",
                condition=Q(to_status__in=Status.values) & (Q(from_status="") | Q(from_status__in=Status.values)),
            ),
        )

    def __str__(self) -> str:
        return f"{self.request_id}: {self.from_status} > {self.to_status}"

    @property
    def actor_name(self) -> str:
        return self.actor.display_name if self.actor else "Automático"


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


class AccessGrant(models.Model):
    """What a completed request gave. ``status`` is written only by ``workflow``."""

    request = models.OneToOneField(AccessRequest, models.PROTECT, related_name="grant", verbose_name="solicitação")
    user = models.ForeignKey(User, models.PROTECT, related_name="grants", verbose_name="pessoa")
    user_type = models.ForeignKey(UserType, models.PROTECT, related_name="grants", verbose_name="tipo de usuário")
    unit = models.ForeignKey(Unit, models.PROTECT, null=True, related_name="grants", verbose_name="unidade")
    status = models.CharField("situação", max_length=10, choices=GrantStatus, default=GrantStatus.ACTIVE)
    granted_at = models.DateTimeField("desde", default=timezone.now)

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

    def __str__(self) -> str:
        return f"acesso {self.pk}"


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
