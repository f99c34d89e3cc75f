"""People and their bonds, how they enter, and the post they are sent."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from . import cpf as cpf_rules
from . import names
from .masking import masked_address


class UserManager(BaseUserManager["User"]):
    def create_user(self, cpf: str, name: str, password: str | None = None, **fields: Any) -> User:
        """A person; without a password they get the first one by "Esqueci a senha"."""
        user = self.model(cpf=cpf, name=name, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


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
        constraints = (
            models.CheckConstraint(name="user_cpf_is_eleven_digits", condition=Q(cpf__regex=r"^[0-9]{11}$")),
            models.CheckConstraint(name="user_has_a_name", condition=~Q(name="")),
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
        today = timezone.localdate()
        return self.filter(Q(ended_on=None) | Q(ended_on__gte=today), started_on__lte=today, user__is_active=True)


class Employment(models.Model):
    """A bond between a person and the court; a person may have several."""

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
        constraints = (
            models.CheckConstraint(
                name="employment_ends_after_it_starts",
                condition=Q(ended_on=None) | Q(ended_on__gte=F("started_on")),
                violation_error_message="O fim não pode ser antes do início.",
            ),
            models.CheckConstraint(name="employment_has_a_matricula", condition=~Q(matricula="")),
        )

    def __str__(self) -> str:
        return f"vínculo {self.matricula}"


class ProvisionalPassword(models.Model):
    """A password that we made. It is derived from the nonce when a mail is made and stands nowhere else."""

    user = models.ForeignKey(User, models.PROTECT, related_name="provisional_passwords")
    #: Wiped as soon as no mail needs it any more.
    nonce = models.CharField(max_length=32, blank=True)
    key_version = models.CharField(max_length=12)
    created_at = models.DateTimeField(default=timezone.now)
    #: When its hash became the person's password.
    set_at = models.DateTimeField(null=True)
    #: When the mail server took it; it lapses ``PROVISIONAL_PASSWORD_DAYS`` later.
    mailed_at = models.DateTimeField(null=True)
    lapses_at = models.DateTimeField(null=True)
    #: Changed, replaced or revoked.
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "senha provisória"
        verbose_name_plural = "senhas provisórias"
        constraints = (
            models.UniqueConstraint(
                name="provisional_password_one_live_per_person", fields=("user",), condition=Q(ended_at=None)
            ),
            models.CheckConstraint(
                name="provisional_password_lapses_once_mailed",
                condition=Q(mailed_at=None, lapses_at=None) | Q(mailed_at__isnull=False, lapses_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"senha provisória {self.pk}"

    @property
    def has_lapsed(self) -> bool:
        return self.lapses_at is not None and self.lapses_at <= timezone.now()


class AddressChange(models.Model):
    """A changed address. The old one is kept as long as it can be told of it, and masked by ``housekeeping`` then."""

    user = models.ForeignKey(User, models.PROTECT, related_name="address_changes", verbose_name="pessoa")
    old = models.EmailField("endereço anterior")
    at = models.DateTimeField("quando", default=timezone.now)

    class Meta:
        verbose_name = "mudança de e-mail"
        verbose_name_plural = "mudanças de e-mail"

    def __str__(self) -> str:
        return f"mudança de e-mail {self.pk}"


class PasswordResetRequest(models.Model):
    """A CPF that somebody typed, whoever it is; gone once the worker has looked the person up."""

    cpf = models.CharField(max_length=11)
    address = models.GenericIPAddressField(null=True)
    #: Of the web request that brought it, so that the worker's lines in the log can be told to belong to it.
    request_id = models.CharField(max_length=32, blank=True, db_default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "pedido de redefinição"
        verbose_name_plural = "pedidos de redefinição"

    def __str__(self) -> str:
        return f"pedido de redefinição {self.pk}"


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
                    )
                ),
            ),
        )

    def __str__(self) -> str:
        return f"evento {self.pk}"


class ThrottleCount(models.Model):
    """How often somebody has tried; ``key`` is a keyed digest, never what was typed."""

    scope = models.CharField(max_length=20)
    key = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=0)
    window_ends_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "contagem de tentativas"
        verbose_name_plural = "contagens de tentativas"
        constraints = (models.UniqueConstraint(name="throttle_count_one_per_key", fields=("scope", "key")),)
        indexes = (models.Index(name="throttle_count_old", fields=("window_ends_at",)),)

    def __str__(self) -> str:
        return f"{self.scope} {self.pk}"


class SpentChallenge(models.Model):
    """A captcha challenge that was solved and used; kept until it would have lapsed anyway."""

    digest = models.CharField(max_length=64, unique=True)
    lapses_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "desafio usado"
        verbose_name_plural = "desafios usados"

    def __str__(self) -> str:
        return f"desafio {self.pk}"


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
        return cls.objects.first() or cls(pk=1)
