"""People for tests: invented, with valid CPFs, and no surprises."""

from __future__ import annotations

from datetime import date

import factory
from django.contrib.auth.hashers import make_password

from accounts import uploaded_imports
from accounts.models import DirectoryImport, Employment, Unit, User

PASSWORD = "jabuticaba no quintal azul"


def cpf_of(number: int) -> str:
    """A valid CPF, another one for each number."""
    digits = [int(digit) for digit in f"{100_000_000 + number * 7:09d}"]
    for length in (9, 10):
        total = sum(digit * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=True))
        digits.append(total * 10 % 11 % 10)
    return "".join(map(str, digits))


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    cpf = factory.Sequence(cpf_of)
    name = factory.Sequence(lambda number: f"SERVIDORA NÚMERO {number} DE SOUZA")
    email = factory.Sequence(lambda number: f"pessoa.{number}@tjms.jus.br")
    phone = "(67) 3314-0000"
    #: For somebody who never had one: make_password(None).
    password = factory.LazyFunction(lambda: make_password(PASSWORD))


class UnitFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Unit

    code = factory.Sequence(lambda number: f"0001-{number:03d}")
    name = "1ª Vara Criminal"
    comarca = "Campo Grande"


class EmploymentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Employment

    user = factory.SubFactory(UserFactory)
    matricula = factory.Sequence(lambda number: f"{500000 + number}")
    cargo = "Analista Judiciário"
    staff_kind = "Quadro de pessoal"
    unit = factory.SubFactory(UnitFactory)
    started_on = date(2015, 2, 2)


class DirectoryImportFactory(factory.django.DjangoModelFactory):
    """A file that was planned and waits for somebody to decide, with one new CPF to confirm."""

    class Meta:
        model = DirectoryImport
        skip_postgeneration_save = True

    file_name = "servidores.csv"
    size = 1000
    status = DirectoryImport.Status.PLANNED
    plan = factory.LazyFunction(
        lambda: {
            "sentences": ["Pessoas novas: 1; alteradas: 0; sem mudança: 0."],
            "sections": [{"title": "Linhas recusadas: 1.", "lines": ["Linha 3: o CPF falta."], "more": 0}],
            "awaiting": ["012345"],
            "lines": 1,
            "ending": 9,
            "open_bonds": 10,
            "usual": 5,
            "too_many": True,
        }
    )
    fingerprint = "0" * 64
    uploaded_by = factory.SubFactory(UserFactory)

    @factory.post_generation
    def files(self, create: bool, extracted: object, **kwargs: object) -> None:
        """On the disk, as after the plan."""
        uploaded_imports.folder().mkdir(parents=True, exist_ok=True)
        uploaded_imports.place_of(self).write_text("MATRICULA;NOME\n")
        uploaded_imports.report_of(self).write_text("LINHA;MOTIVO\n")
