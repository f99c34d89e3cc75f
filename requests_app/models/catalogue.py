"""The systems that others run, and their user types."""

from __future__ import annotations

from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts import names
from accounts.models import User


class ExternalSystemQuerySet(models.QuerySet["ExternalSystem"]):
    def accepting(self) -> ExternalSystemQuerySet:
        """Systems that may be asked for today."""
        today = timezone.localdate()
        started = Q(active_from=None) | Q(active_from__lte=today)
        goes_on = Q(active_until=None) | Q(active_until__gte=today)
        return self.filter(started, goes_on, is_active=True)


class ExternalSystem(models.Model):
    """A system that others run and that people may ask access to."""

    class Credential(models.TextChoices):
        PORTAL = "PORTAL", "Senha do portal (login = CPF)"
        OPERATOR = "OPERATOR", "Cadastrado à mão por um analista, com senha do outro sistema"
        OWN = "OWN", "O outro sistema envia a própria senha"

    class WhoMayAsk(models.TextChoices):
        ANYONE = "ANYONE", "Quem tem vínculo ativo"
        MAGISTRATES = "MAGISTRATES", "Magistrados"
        HEADS = "HEADS", "Magistrados e chefes de unidade"

    class ForWhom(models.TextChoices):
        ANYONE = "ANYONE", "Qualquer pessoa do cadastro"
        OWN_UNIT = "OWN_UNIT", "Pessoas da unidade de quem pede"
        SELF = "SELF", "Só quem pede"

    name = models.CharField("sistema", max_length=80, unique=True)
    purpose = models.CharField("para que serve", max_length=300, blank=True)
    url = models.URLField("endereço", blank=True)
    credential = models.CharField("como nasce a credencial", max_length=10, choices=Credential)
    instructions = models.TextField("instruções", blank=True, help_text="Vão no e-mail de acesso liberado.")
    successor = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name="substituído por"
    )
    who_may_ask = models.CharField(
        "quem pode pedir",
        max_length=12,
        choices=WhoMayAsk,
        default=WhoMayAsk.ANYONE,
        db_default=WhoMayAsk.ANYONE,
        help_text="Os cargos de magistrado e de chefia estão em “Cargos”.",
    )
    asks_unit = models.BooleanField(
        "pede a unidade",
        default=False,
        db_default=False,
        help_text="Cada pedido diz em que unidade o acesso vale.",
    )
    for_whom = models.CharField(
        "para quem se pede", max_length=8, choices=ForWhom, default=ForWhom.ANYONE, db_default=ForWhom.ANYONE
    )
    most_per_unit = models.PositiveSmallIntegerField(
        "usuários por unidade",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Quantas pessoas de uma unidade podem ter acesso ao mesmo tempo. Vazio: sem limite.",
    )
    is_active = models.BooleanField("aceita pedidos", default=True)
    active_from = models.DateField("aceita pedidos desde", null=True, blank=True)
    active_until = models.DateField("aceita pedidos até", null=True, blank=True)

    objects = ExternalSystemQuerySet.as_manager()

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
                name="external_system_known_askers",
                condition=Q(who_may_ask__in=("ANYONE", "MAGISTRATES", "HEADS")),
            ),
            models.CheckConstraint(
                name="external_system_known_for_whom", condition=Q(for_whom__in=("ANYONE", "OWN_UNIT", "SELF"))
            ),
            models.CheckConstraint(
                name="external_system_somebody_per_unit", condition=Q(most_per_unit=None) | Q(most_per_unit__gte=1)
            ),
            models.CheckConstraint(
                name="external_system_ends_after_it_starts",
                condition=Q(active_from=None) | Q(active_until=None) | Q(active_until__gte=F("active_from")),
                violation_error_message="A última data não pode ser antes da primeira.",
            ),
            models.CheckConstraint(
                name="external_system_not_its_own_successor", condition=Q(successor=None) | ~Q(successor=F("id"))
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def accepts_requests(self) -> bool:
        """Whether it may be asked for today."""
        today = timezone.localdate()
        started = self.active_from is None or self.active_from <= today
        return self.is_active and started and (self.active_until is None or self.active_until >= today)


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


class Cargo(models.Model):
    """A cargo that gives its holders more than others have; those that stand here, and no others, do."""

    name = models.CharField("cargo", max_length=80, unique=True, help_text="Como está no cadastro de pessoal.")
    folded_name = models.CharField(max_length=80, unique=True, editable=False)
    is_magistrate = models.BooleanField("é magistrado", default=False)
    heads_unit = models.BooleanField("chefia a unidade", default=False)

    class Meta:
        verbose_name = "cargo"
        verbose_name_plural = "cargos"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.folded_name = names.fold(self.name)
        super().save(*args, **kwargs)


class ReasonTemplate(models.Model):
    """A text for the reason of a decision, with the norm that it leans on."""

    class Decision(models.TextChoices):
        RETURNED = "RETURNED", "Devolver para correção"
        REJECTED = "REJECTED", "Indeferir"

    decision = models.CharField("decisão", max_length=10, choices=Decision)
    title = models.CharField("título", max_length=80, help_text="Como aparece na lista e nos números.")
    text = models.TextField("texto", max_length=1500, help_text="Quem pediu vai ler este texto.")
    norm = models.CharField("norma citada", max_length=200, blank=True)
    system = models.ForeignKey(
        ExternalSystem,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="reason_templates",
        verbose_name="sistema",
        help_text="Vazio: serve para todos.",
    )
    is_active = models.BooleanField("em uso", default=True)

    class Meta:
        verbose_name = "modelo de motivo"
        verbose_name_plural = "modelos de motivo"
        ordering = ("decision", "title")
        constraints = (
            models.CheckConstraint(
                name="reason_template_known_decision", condition=Q(decision__in=("RETURNED", "REJECTED"))
            ),
            models.UniqueConstraint(
                name="reason_template_once_for_all_systems",
                fields=("decision", "title"),
                condition=Q(system=None),
                violation_error_message="Já existe um modelo com este título.",
            ),
            models.UniqueConstraint(
                name="reason_template_once_per_system",
                fields=("decision", "title", "system"),
                condition=Q(system__isnull=False),
                violation_error_message="Já existe um modelo com este título para este sistema.",
            ),
        )

    def __str__(self) -> str:
        return self.title

    @property
    def wording(self) -> str:
        """What the requester reads."""
        return f"{self.text} ({self.norm})" if self.norm else self.text


class CatalogueChange(models.Model):
    """What somebody changed in the catalogue, with before and after. Append-only."""

    #: The model's label, such as ``requests_app.externalsystem``.
    model = models.CharField("o quê", max_length=60)
    object_id = models.BigIntegerField("número")
    #: As it was called then.
    name = models.CharField("nome", max_length=200)
    #: [[label of the field, before, after], …], in words; before is null for what is new.
    changes = models.JSONField("mudanças")
    by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name="quem")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "mudança no catálogo"
        verbose_name_plural = "mudanças no catálogo"
        ordering = ("-pk",)
        indexes = (models.Index(name="catalogue_change_of_a_row", fields=("model", "object_id", "-id")),)

    def __str__(self) -> str:
        return f"{self.model} {self.object_id}"
