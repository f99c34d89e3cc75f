"""What Gestão types about the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.core.exceptions import ValidationError

from accounts import names

from .form_fields import TextField, printable
from .models import AccessRequest, Cargo, ExternalSystem, Status, SystemNotice, UserType

if TYPE_CHECKING:
    SystemModelForm = forms.ModelForm[ExternalSystem]
    UserTypeModelForm = forms.ModelForm[UserType]
    NoticeModelForm = forms.ModelForm[SystemNotice]
    CargoModelForm = forms.ModelForm[Cargo]
else:  # Django's form takes no parameter at run time
    SystemModelForm = UserTypeModelForm = NoticeModelForm = CargoModelForm = forms.ModelForm

LONGEST_NAME, LONGEST_TEXT = 80, 4000
#: No unit has more people; whoever wants no limit leaves the field empty.
MOST_PER_UNIT = 999
TO_BE_REGISTERED = "Há {1} à espera de registro em {0}. Registre ou indefira cada um antes de mudar isto."


class ExternalSystemForm(SystemModelForm):
    name = forms.CharField(
        label="Sistema",
        max_length=LONGEST_NAME,
        validators=[printable],
        help_text="Como as pessoas o conhecem. Um nome novo aparece também nos pedidos e acessos antigos.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    url = forms.URLField(
        label="Endereço",
        required=False,
        max_length=200,
        assume_scheme="https",
        help_text="Endereço completo. Exemplo: https://sistema.cnj.jus.br.",
        widget=forms.URLInput(attrs={"class": "vURLField"}),
    )
    instructions = TextField(
        label="Instruções",
        required=False,
        max_length=LONGEST_TEXT,
        help_text="Vão no e-mail de acesso liberado. Diga como entrar e a quem pedir ajuda.",
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 6}),
    )

    most_per_unit = forms.IntegerField(
        label="Usuários por unidade",
        required=False,
        min_value=1,
        max_value=MOST_PER_UNIT,
        help_text="Contam as pessoas com acesso e as com pedido em andamento. Vazio: sem limite.",
        widget=AdminIntegerFieldWidget,
    )

    class Meta:
        model = ExternalSystem
        fields = "__all__"
        widgets = {"purpose": forms.TextInput(attrs={"class": "vTextField desk-wide"})}
        help_texts = {
            "purpose": "Uma frase, que aparece nas Orientações.",
            "for_whom": "Unidade de quem pede: aquela em que a pessoa tem vínculo ativo.",
            "is_active": "Desmarque para aposentar o sistema. Pedidos e acessos antigos ficam.",
            "active_from": "Primeiro dia. Vazio: desde já.",
            "active_until": "Último dia. Depois dele, nem pedidos já feitos podem ser aprovados. Vazio: sem prazo.",
            "credential": "Vale para os próximos acessos. Os que já existem ficam como estão.",
            "successor": "O sistema que ficou no lugar deste. Aparece nas Orientações.",
        }

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = ExternalSystem.objects.exclude(pk=self.instance.pk).values_list("name", flat=True)
        if same := next((other for other in others if names.fold(other) == names.fold(name)), None):
            raise ValidationError(f"Já existe um sistema com este nome: {same}.")
        return name

    def clean_credential(self) -> str:
        """What was approved waits for the step that this choice names."""
        credential: str = self.cleaned_data["credential"]
        if "credential" in self.changed_data and self.instance.pk:
            waiting = AccessRequest.objects.filter(status=Status.APPROVED, user_type__system=self.instance)
            if count := waiting.count():
                approved = "1 pedido aprovado" if count == 1 else f"{count} pedidos aprovados"
                raise ValidationError(TO_BE_REGISTERED.format(self.instance, approved))
        return credential

    def clean_successor(self) -> ExternalSystem | None:
        """In no circle, or nobody would find out where to go."""
        successor: ExternalSystem | None = self.cleaned_data["successor"]
        later, passed = successor, {self.instance.pk}
        while later is not None:
            if later.pk in passed:
                raise ValidationError("Um sistema não pode substituir a si mesmo, nem por meio de outro.")
            passed.add(later.pk)
            later = later.successor
        return successor

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("active_from"), cleaned.get("active_until")
        if first and last and last < first:
            self.add_error("active_until", "O último dia não pode ser antes do primeiro.")
        return cleaned


class UserTypeForm(UserTypeModelForm):
    name = forms.CharField(
        label="Tipo de usuário",
        max_length=LONGEST_NAME,
        validators=[printable],
        widget=forms.TextInput(attrs={"class": "vTextField", "aria-label": "Tipo de usuário"}),
    )

    class Meta:
        model = UserType
        fields = ("name", "is_active")
        # The heading of a column is no label.
        widgets = {"is_active": forms.CheckboxInput(attrs={"aria-label": "Aceita pedidos"})}


class NoticeForm(NoticeModelForm):
    text = TextField(
        label="Texto",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 4}),
    )

    class Meta:
        model = SystemNotice
        fields = ("kind", "published_on", "text")
        help_texts = {"published_on": "O aviso aparece nas Orientações a partir deste dia."}


class CargoForm(CargoModelForm):
    name = forms.CharField(
        label="Cargo",
        max_length=LONGEST_NAME,
        validators=[printable],
        help_text="Como está no cadastro de pessoal. Maiúsculas e acentos não fazem diferença.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )

    class Meta:
        model = Cargo
        fields = ("name", "is_magistrate", "heads_unit")
        help_texts = {
            "is_magistrate": "Pode pedir o que é só para magistrados.",
            "heads_unit": "Pode pedir o que é para chefes de unidade, e vê os acessos da sua unidade.",
        }

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        folded = names.fold(name)
        if not folded:
            raise ValidationError("Escreva o cargo com letras.")
        if len(folded) > LONGEST_NAME:  # a letter may fold into several
            raise ValidationError("Este cargo é longo demais. Use até 80 letras.")
        if same := Cargo.objects.exclude(pk=self.instance.pk).filter(folded_name=folded).first():
            raise ValidationError(f"Este cargo já está na lista: {same}.")
        return name
