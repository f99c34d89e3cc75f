"""The systems that others run, and their user types."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone


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
