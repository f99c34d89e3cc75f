"""People, their bonds with the court, and whom they call."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.utils import timezone

from .. import cpf as cpf_rules
from .. import names
from ..masking import masked_address


class UserManager(BaseUserManager["User"]):
    def create_user(self, cpf: str, name: str, password: str | None = None, **fields: Any) -> User:
        """A person; without a password they get the first one by "Esqueci a senha"."""
        user = self.model(cpf=cpf, name=name, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def locked(self, pk: int) -> User:
        """The person as they are now, whom nobody else changes until the caller's transaction ends.

        Rows that point at the person can be made meanwhile. Raises User.DoesNotExist.
        """
        return self.select_for_update(of=("self",), no_key=True).get(pk=pk)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, one per CPF. The CPF is the login."""

    cpf = models.CharField("CPF", max_length=11, unique=True)
    name = models.CharField("nome civil", max_length=150)
    social_name = models.CharField("nome social", max_length=150, blank=True)
    search_name = models.TextField(editable=False)
    email = models.EmailField("e-mail institucional", blank=True)
    #: Since then the personnel file does not overwrite the address: somebody here knew better (DESIGN §7).
    email_corrected_at = models.DateTimeField("e-mail corrigido à mão em", null=True, editable=False)
    phone = models.CharField("telefone", max_length=30, blank=True)
    is_active = models.BooleanField("pode entrar", default=True)
    #: Since when they do not come in because no bond is left; whoever comes back is let in again. Null where it was
    #: decided by hand.
    left_at = models.DateTimeField("sem vínculo desde", null=True, editable=False)
    is_staff = models.BooleanField("usa a administração", default=False)
    #: The password is a provisional one: it must be changed before anything else.
    must_change_password = models.BooleanField("deve trocar a senha", default=False, editable=False)
    date_joined = models.DateTimeField("cadastro em", default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "cpf"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = ["name"]

    class Meta:
        verbose_name = "pessoa"
        verbose_name_plural = "pessoas"
        permissions = (
            ("support", "Pode atender pessoas: enviar o link, desbloquear, encerrar sessões"),
            ("support_staff", "Pode atender também quem usa a administração"),
            ("correct_email", "Pode corrigir o e-mail"),
            ("disclose", "Pode ver CPF e e-mail inteiros"),
            ("remove_second_factor", "Pode pedir e confirmar a retirada do segundo fator de alguém"),
            ("change_roles", "Pode dizer quem é da equipe e com que perfil"),
        )
        indexes = (models.Index(name="user_who_left", fields=("left_at",), condition=Q(left_at__isnull=False)),)
        constraints = (
            models.CheckConstraint(name="user_cpf_is_eleven_digits", condition=Q(cpf__regex=r"^[0-9]{11}$")),
            models.CheckConstraint(name="user_has_a_name", condition=~Q(name="")),
            # Whoever reads the mailbox gets the password (DOMAIN §1).
            models.UniqueConstraint(
                Upper("email"),
                name="user_address_is_their_own",
                condition=~Q(email=""),
                violation_error_message="Outra pessoa do cadastro já usa este e-mail. Confira e digite de novo.",
            ),
        )

    def __str__(self) -> str:
        return f"pessoa {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.search_name = self.folded_names()
        if (fields := kwargs.get("update_fields")) is not None and {"name", "social_name"} & set(fields):
            kwargs["update_fields"] = {*fields, "search_name"}
        super().save(*args, **kwargs)

    def folded_names(self) -> str:
        """Social and civil name as searches compare them; the space before each word lets a fragment ask for one."""
        return f" {names.fold(self.social_name)} {names.fold(self.name)}".replace("  ", " ")

    @property
    def display_name(self) -> str:
        """The social name, where there is one, is shown everywhere (Res. CNJ 270/2018)."""
        return names.display(self.social_name or self.name)

    @property
    def masked_cpf(self) -> str:
        return cpf_rules.masked(self.cpf)

    @property
    def masked_email(self) -> str:
        """``j***@tjms.jus.br`` (LGPD; DOMAIN §5)."""
        return masked_address(self.email)

    @property
    def has_chosen_password(self) -> bool:
        """Whether the person signs in with a password that they chose themselves."""
        return bool(self.password) and self.has_usable_password() and not self.must_change_password

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.display_name.split(" ")[0]


class Unit(models.Model):
    """A unit of the court: a vara or a sector of a comarca."""

    code = models.CharField("código", max_length=20, unique=True)
    name = models.CharField("unidade", max_length=150)
    comarca = models.CharField("comarca", max_length=80, blank=True)
    #: Read by many: it is nobody's own address.
    email = models.EmailField("e-mail da unidade", blank=True, db_default="")
    started_on = models.DateField("início", null=True, blank=True)
    ended_on = models.DateField("fim", null=True, blank=True)

    class Meta:
        verbose_name = "unidade"
        verbose_name_plural = "unidades"
        ordering = ("comarca", "name")
        constraints = (
            models.CheckConstraint(
                name="unit_ends_after_it_starts",
                condition=Q(ended_on=None) | Q(started_on=None) | Q(ended_on__gte=F("started_on")),
                violation_error_message="O fim não pode ser antes do início.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} – {self.comarca}" if self.comarca else self.name


class EmploymentQuerySet(models.QuerySet["Employment"]):
    def main_of(self, user: User) -> Employment | None:
        """The bond that a person acts by: the oldest that holds today."""
        return self.current().filter(user=user).select_related("unit").order_by("started_on", "pk").first()

    def current(self) -> EmploymentQuerySet:
        """Bonds that hold today, of people who may sign in."""
        return self.holding().filter(user__is_active=True)

    def holding(self) -> EmploymentQuerySet:
        """Bonds that hold today, of whomever."""
        return self.not_over().filter(started_on__lte=timezone.localdate())

    def not_over(self) -> EmploymentQuerySet:
        """Bonds whose last day has not passed; some begin later."""
        return self.filter(Q(ended_on=None) | Q(ended_on__gte=timezone.localdate()))


class Employment(models.Model):
    """A bond between a person and the court; a person may have several."""

    class Kind(models.TextChoices):
        DIRECTORY = "DIRECTORY", "Cadastro de pessoal"
        TEMPORARY = "TEMPORARY", "Temporário"
        PROSECUTION = "PROSECUTION", "Ministério Público"
        DEFENDERS = "DEFENDERS", "Defensoria Pública"
        OTHER = "OTHER", "Outro órgão"

    #: Where it comes from. An import touches those of the personnel file and no others.
    kind = models.CharField(
        "tipo de vínculo", max_length=11, choices=Kind, default=Kind.DIRECTORY, db_default=Kind.DIRECTORY
    )
    #: Who vouches for somebody from outside the personnel file.
    sponsor = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="quem responde pela pessoa"
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="employments", verbose_name="pessoa")
    matricula = models.CharField("matrícula", max_length=10, unique=True)
    cargo = models.CharField("cargo", max_length=80)
    staff_kind = models.CharField("quadro", max_length=40, blank=True)
    unit = models.ForeignKey(Unit, models.PROTECT, related_name="employments", verbose_name="lotação")
    started_on = models.DateField("início")
    ended_on = models.DateField("fim", null=True, blank=True)

    objects = EmploymentQuerySet.as_manager()

    class Meta:
        verbose_name = "vínculo"
        verbose_name_plural = "vínculos"
        indexes = (models.Index(name="employment_by_last_day", fields=("ended_on",)),)
        constraints = (
            models.CheckConstraint(
                name="employment_ends_after_it_starts",
                condition=Q(ended_on=None) | Q(ended_on__gte=F("started_on")),
                violation_error_message="O fim não pode ser antes do início.",
            ),
            models.CheckConstraint(name="employment_has_a_matricula", condition=~Q(matricula="")),
            models.CheckConstraint(
                name="employment_known_kind",
                condition=Q(kind__in=("DIRECTORY", "TEMPORARY", "PROSECUTION", "DEFENDERS", "OTHER")),
            ),
            models.CheckConstraint(
                name="employment_from_outside_has_end_and_sponsor",
                condition=Q(kind="DIRECTORY") | Q(ended_on__isnull=False, sponsor__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"vínculo {self.matricula}"

    @property
    def from_outside(self) -> str:
        """``Temporário até 31/12/2026; responde: Maria de Souza``; nothing of a bond of the personnel file."""
        if self.kind == self.Kind.DIRECTORY or self.ended_on is None or self.sponsor is None:
            return ""
        return f"{self.get_kind_display()} até {self.ended_on:%d/%m/%Y}; responde: {self.sponsor.display_name}"


class AddressChange(models.Model):
    """A changed address. The old one is kept as long as it can be told of it, and masked by ``housekeeping`` then."""

    user = models.ForeignKey(User, models.PROTECT, related_name="address_changes", verbose_name="pessoa")
    old = models.EmailField("endereço anterior")
    #: Why somebody here corrected it; nothing where the personnel file did.
    reason = models.CharField("motivo", max_length=200, blank=True, db_default="")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "mudança de e-mail"
        verbose_name_plural = "mudanças de e-mail"

    def __str__(self) -> str:
        return f"mudança de e-mail {self.pk}"


class HelpDesk(models.Model):
    """Whom to call. One row, edited in the admin; until it is edited, what the source page says."""

    name = models.CharField("nome", max_length=120, default="Coordenadoria de Gerência de Sistemas Externos")
    email = models.EmailField("e-mail", default="cgjconvenios@tjms.jus.br")
    phones = models.CharField(
        "telefones",
        max_length=80,
        default="(67) 3314-1465 / 3314-1327",
        validators=[RegexValidator(r"^[0-9()/ .\-]+$", "Use só números, parênteses, traço e barra.")],
    )
    hours = models.CharField("horário", max_length=60, default="das 12h às 18h")
    #: The court's encarregado (LGPD art. 41): a name, an address, a telephone, as the court wants it read.
    privacy_contact = models.CharField(
        "encarregado pelos dados pessoais",
        max_length=200,
        blank=True,
        db_default="",
        help_text="Nome e contato, como devem aparecer no aviso de privacidade.",
    )

    class Meta:
        verbose_name = "contato da Coordenadoria"
        verbose_name_plural = "contato da Coordenadoria"
        constraints = (models.CheckConstraint(name="help_desk_only_one", condition=Q(pk=1)),)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)

    @classmethod
    def current(cls) -> HelpDesk:
        """The contact as edited, or the source's."""
        # What has its default in the database alone has none before it is stored.
        return cls.objects.first() or cls(pk=1, privacy_contact="")
