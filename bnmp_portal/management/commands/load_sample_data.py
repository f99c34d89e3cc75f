"""Invented people, the catalogue and some requests: for the demonstration and for the browser tests."""

from __future__ import annotations

import uuid
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts import terms
from accounts.models import Employment, User
from requests_app import workflow
from requests_app.models import AccessRequest, ExternalSystem, Status, SystemNotice, UserType

PEOPLE = Path(__file__).parents[2] / "sample" / "servidores.csv"
PASSWORD = "mandacaru-florido-22"  # noqa: S105 - known to all, and only in the demonstration

#: matrícula, who it is in the demonstration
SERVIDOR, ANALYST, MANAGER = "056839", "095610", "049314"
#: (CPF, password, who) of those who may sign in; ``run_portal`` prints them.
DEMO_ACCOUNTS: list[tuple[str, str, str]] = [
    ("181.590.830-09", PASSWORD, "servidora, pede acessos (Lúcia)"),
    ("432.319.487-03", PASSWORD, "analista da Coordenadoria, decide em /admin/ (Lúcia Leão)"),
    ("928.159.013-15", PASSWORD, "Gestão, cuida do catálogo em /admin/ (Luís)"),
]

PORTAL, OPERATOR, OWN = (
    ExternalSystem.Credential.PORTAL,
    ExternalSystem.Credential.OPERATOR,
    ExternalSystem.Credential.OWN,
)
#: name, how the credential comes to be, purpose, address, user types (DOMAIN §1)
CATALOGUE: list[tuple[str, str, str, str, tuple[str, ...]]] = [
    (
        "BNMP 2.0",
        PORTAL,
        "Banco Nacional de Monitoramento de Prisões: consulta de mandados, alvarás e guias.",
        "https://sso.cnj.jus.br/cas/login",
        ("Consulta", "Servidor", "Servidor - Unificar", "Servidor - Alterar Unidade/Regime Prisional", "Magistrado"),
    ),
    (
        "BNMP 3.0",
        OWN,
        "Emissão de mandados e guias, com o login único do PDPJ.",
        "https://bnmp.pdpj.jus.br",
        ("Servidor", "Magistrado", "Temporário"),
    ),
    ("SEEU", OWN, "Sistema Eletrônico de Execução Unificado.", "https://seeu.pje.jus.br", ("Servidor", "Magistrado")),
    (
        "SISBAJUD",
        OPERATOR,
        "Bloqueio e informação de valores em instituições financeiras.",
        "https://sisbajud.cnj.jus.br",
        ("Servidor assessor", "Magistrado"),
    ),
    (
        "INFOJUD",
        OWN,
        "Informações da Receita Federal.",
        "https://cav.receita.fazenda.gov.br",
        ("Servidor", "Magistrado"),
    ),
    (
        "RENAJUD",
        OPERATOR,
        "Restrição de veículos.",
        "https://renajud.denatran.serpro.gov.br",
        ("Servidor", "Magistrado"),
    ),
    (
        "SERASAJUD",
        PORTAL,
        "Ofícios à Serasa Experian.",
        "https://www.serasaexperian.com.br",
        ("Servidor", "Magistrado", "Dirigente"),
    ),
    ("SIEL", OPERATOR, "Informações do cadastro eleitoral.", "https://www.tre-ms.jus.br", ("Servidor", "Magistrado")),
]


class Command(BaseCommand):
    help = "Carrega pessoas inventadas, o catálogo e pedidos em todas as situações. Só na demonstração."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PORTAL_DEMO:
            raise CommandError("Os dados de exemplo têm senhas conhecidas: só com PORTAL_DEMO=1 (make run).")
        if User.objects.exists():
            raise CommandError("O banco já tem pessoas: nada foi carregado.")
        load()
        self.stdout.write("Dados de exemplo carregados.")


def load() -> None:
    """Fill an empty, migrated database."""
    call_command("import_directory", str(PEOPLE), verbosity=0)
    for matricula, group in ((SERVIDOR, None), (ANALYST, "Análise"), (MANAGER, "Gestão")):
        user = person(matricula)
        user.password = make_password(PASSWORD)
        user.is_staff = group is not None
        user.save(update_fields=["password", "is_staff"])
        if group:
            user.groups.add(Group.objects.get(name=group))
    term = terms.publish(terms.draft(), after=0, by=person(MANAGER))
    for matricula in (SERVIDOR, ANALYST, MANAGER):  # others meet it at their first sign-in
        terms.accept(person(matricula), term)
    make_catalogue()
    make_requests()


def person(matricula: str) -> User:
    return Employment.objects.select_related("user").get(matricula=matricula).user


def make_catalogue() -> None:
    """Eight systems with their user types."""
    for name, credential, purpose, url, user_types in CATALOGUE:
        system = ExternalSystem.objects.create(name=name, credential=credential, purpose=purpose, url=url)
        UserType.objects.bulk_create([UserType(system=system, name=user_type) for user_type in user_types])
    bnmp = ExternalSystem.objects.get(name="BNMP 2.0")
    bnmp.successor = ExternalSystem.objects.get(name="BNMP 3.0")
    bnmp.save(update_fields=["successor"])
    SystemNotice.objects.create(
        system=bnmp, text="Mandados e guias passaram a ser emitidos no BNMP 3.0.", published_on=date(2025, 3, 10)
    )


def make_requests() -> None:
    """One request or two in every status, each brought there through ``move()``."""
    servidor, analyst, colleague = person(SERVIDOR), person(ANALYST), person("017456")

    def file(requester: User, matricula: str, system: str, user_type: str, description: str) -> AccessRequest:
        bond = Employment.objects.select_related("user", "unit").get(matricula=matricula)
        return workflow.file(
            workflow.new_request(
                form_nonce=uuid.uuid4(),
                requester=requester,
                bond=bond,
                user_type=UserType.objects.get(system__name=system, name=user_type),
                description=description,
                email=requester.email,
                phone=requester.phone,
            )
        )

    def move(request: AccessRequest, to: Status, note: str = "", *, by: User | None = analyst) -> None:
        workflow.move(request.pk, to, by=by, note=note)

    file(servidor, "081135", "BNMP 2.0", "Consulta", "Consulta de mandados de prisão no atendimento do cartório.")
    file(colleague, "070070", "RENAJUD", "Servidor", "Cumprimento de ordens de restrição de veículos.")
    file(servidor, "056839", "SEEU", "Servidor", "Andamento de processos de execução penal.")
    move(file(colleague, "052487", "BNMP 2.0", "Magistrado", "Designação para a vara criminal."), Status.IN_REVIEW)
    move(
        file(servidor, "090710", "SISBAJUD", "Servidor assessor", "Apoio ao gabinete."),
        Status.RETURNED,
        "Informe o número da portaria de designação.",
    )
    move(file(servidor, "070985", "SIEL", "Servidor", "Localização de partes."), Status.APPROVED)
    move(file(servidor, "025382", "BNMP 2.0", "Consulta", "Atendimento ao público no balcão."), Status.APPROVED)
    move(
        file(servidor, "045090", "INFOJUD", "Magistrado", "Consulta de bens."),
        Status.REJECTED,
        "Este perfil é só para magistrados. Peça o perfil Servidor.",
    )
    move(file(servidor, "019812", "BNMP 3.0", "Magistrado", "Emissão de mandados."), Status.CANCELLED, by=servidor)
    expired = file(servidor, "066919", "SERASAJUD", "Servidor", "Ofícios.")
    move(expired, Status.RETURNED, "Descreva melhor para que o acesso será usado.")
    move(expired, Status.EXPIRED, by=None)
