"""What people ask, and its history."""

from __future__ import annotations

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import timezone

from accounts.masking import masked_address
from accounts.models import Employment, Unit, User

from .catalogue import ExternalSystem, ReasonTemplate, UserType


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
#: Where a correction puts a request back into the queue from.
SENT_BACK = (Status.RETURNED, Status.EXPIRED)


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


def _called(person: User, as_filed: str) -> str:
    """As it was filed; but a social name that somebody has taken since is theirs from then on (Res. CNJ 270/2018)."""
    return person.display_name if person.social_name else as_filed


class JointFiling(models.Model):
    """Requests for several people that one form filed in one transaction, under one protocol each."""

    #: The one-use mark of that form.
    nonce = models.UUIDField(unique=True, editable=False)
    requester = models.ForeignKey(User, models.PROTECT, related_name="joint_filings", verbose_name="quem pediu")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "pedido para várias pessoas"
        verbose_name_plural = "pedidos para várias pessoas"
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"pedido conjunto {self.pk}"


class AccessRequest(models.Model):
    """A request for one user type, for one bond of one person. ``status`` is written only by ``workflow``.

    Names, cargos and units stand as they were when it was filed; what people are called is ``requester_called`` and
    ``beneficiary_called``.
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
    #: Null where it was filed alone.
    joint = models.ForeignKey(
        JointFiling, models.PROTECT, null=True, related_name="requests", verbose_name="pedida em conjunto"
    )

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        verbose_name = "solicitação"
        verbose_name_plural = "solicitações"
        ordering = ("-pk",)
        permissions = (
            ("decide", "Pode decidir solicitações"),
            ("export", "Pode exportar solicitações"),
        )
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
            models.Index(name="access_request_to_register", fields=("id",), condition=Q(status=Status.APPROVED)),
            models.Index(name="access_request_held", fields=("holder", "id"), condition=Q(status=Status.IN_REVIEW)),
            models.Index(name="access_request_filed", fields=("created_at",)),
            models.Index(name="access_request_decided", fields=("decided_at",), condition=Q(decided_at__isnull=False)),
            models.Index(name="access_request_overdue", fields=("correct_by",), condition=Q(status=Status.RETURNED)),
        )

    def __str__(self) -> str:
        return self.protocol

    def get_absolute_url(self) -> str:
        return reverse("request-detail", args=[self.protocol])

    @property
    def system(self) -> ExternalSystem:
        return self.user_type.system

    def is_of(self, user: User) -> bool:
        """Whether somebody asks or benefits."""
        return user.pk in {self.requester_id, self.beneficiary_id}

    @property
    def requester_called(self) -> str:
        """Who asks, on every page and in every mail. A query, unless the person is selected with the request."""
        return _called(self.requester, self.requester_name)

    @property
    def beneficiary_called(self) -> str:
        """The same of who will have the access."""
        return _called(self.beneficiary, self.beneficiary_name)

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


class RequestEventQuerySet(models.QuerySet["RequestEvent"]):
    def coming_back(self) -> RequestEventQuerySet:
        """Those by which a request comes back into the queue."""
        return self.filter(from_status__in=SENT_BACK, to_status=Status.PENDING)

    def with_people(self) -> RequestEventQuerySet:
        """With what ``changes`` needs to call people as they are called now: their social names. No query more."""
        return self.annotate(was_social=_social_name("changes__0__1"), now_social=_social_name("changes__0__2"))


def _social_name(place: str) -> Subquery:
    """Of the person at a place of ``changes``; null where there is none."""
    key = Cast(OuterRef(f"{place}__person"), models.BigIntegerField())
    return Subquery(User.objects.filter(pk=key).values("social_name")[:1])


class RequestEvent(models.Model):
    """The history of a request. Append-only: the database refuses anything else."""

    request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="events", verbose_name="solicitação")
    from_status = models.CharField("de", max_length=10, choices=Status, blank=True)
    to_status = models.CharField("para", max_length=10, choices=Status)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name="quem")
    note = models.TextField("motivo", blank=True)
    #: The text that the reason was taken from, for the numbers.
    reason = models.ForeignKey(ReasonTemplate, models.PROTECT, null=True, related_name="+", verbose_name="modelo")
    #: What a correction changed: [[label, before, after], …], in words (``requests_app.corrections``). The person whom
    #: it is for comes first, by key: what they are called may change.
    changes = models.JSONField("mudanças", default=list, db_default=[])
    at = models.DateTimeField("quando", default=timezone.now)

    objects = RequestEventQuerySet.as_manager()

    class Meta:
        verbose_name = "andamento"
        verbose_name_plural = "andamentos"
        ordering = ("pk",)
        indexes = (models.Index(name="request_event_by_status", fields=("to_status", "at")),)
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

    @property
    def what(self) -> str:
        """What happened, where the status alone would not tell it."""
        if not self.from_status:
            return "Pedido enviado"
        if self.to_status != Status.PENDING or self.from_status not in SENT_BACK:
            return self.get_to_status_display()
        done = "Corrigida" if self.changes else "Reenviada"
        return f"{done} por quem {'pediu' if self.actor_id == self.request.requester_id else 'terá o acesso'}"


class InternalNote(models.Model):
    """What the staff tell one another about a request; the requester never sees it. Append-only."""

    request = models.ForeignKey(
        AccessRequest, models.PROTECT, related_name="internal_notes", verbose_name="solicitação"
    )
    author = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="quem")
    text = models.TextField("texto", max_length=2000)
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "nota interna"
        verbose_name_plural = "notas internas"
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"nota interna {self.pk}"


class Reminder(models.Model):
    """The requester reminded the Coordenadoria of a request that waits. Append-only."""

    request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="reminders", verbose_name="solicitação")
    by = models.ForeignKey(User, models.PROTECT, related_name="reminders", verbose_name="quem")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "lembrete"
        verbose_name_plural = "lembretes"
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"lembrete {self.pk}"

    # As a step of the request's history has them, among which it stands.
    note = ""
    what = "Coordenadoria lembrada"

    @property
    def actor(self) -> User:
        return self.by

    @property
    def actor_name(self) -> str:
        return self.by.display_name


class Draft(models.Model):
    """What somebody has typed in a form and not sent yet; it goes when the form is sent, or after ``DRAFT_DAYS``."""

    user = models.ForeignKey(User, models.PROTECT, related_name="drafts", verbose_name="pessoa")
    #: The form: nothing for a new request, ``varias`` for several people, else the protocol that is corrected.
    form = models.CharField("formulário", max_length=11, blank=True)
    #: Field -> what stands there.
    data = models.JSONField("preenchido", default=dict)
    updated_at = models.DateTimeField("atualizado em", default=timezone.now)

    class Meta:
        verbose_name = "rascunho"
        verbose_name_plural = "rascunhos"
        ordering = ("-updated_at",)
        constraints = (models.UniqueConstraint(name="draft_one_per_form", fields=("user", "form")),)
        indexes = (models.Index(name="draft_by_age", fields=("updated_at",)),)

    def __str__(self) -> str:
        return f"rascunho {self.pk}"
