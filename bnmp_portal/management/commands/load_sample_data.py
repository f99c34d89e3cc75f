"""Invented people, the catalogue and some requests: for the demonstration and for the browser tests."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import terms
from accounts.models import Employment, User
from requests_app import grants_file, workflow
from requests_app.models import (
    AccessGrant,
    AccessRequest,
    ExternalSystem,
    GrantStatus,
    ReasonTemplate,
    Status,
    SystemNotice,
    UserType,
)

PEOPLE = Path(__file__).parents[2] / "sample" / "servidores.csv"
PASSWORD = "mandacaru-florido-22"  # noqa: S105 - known to all, and only in the demonstration

#: matrícula, who it is in the demonstration
SERVIDOR, ANALYST, MANAGER, ADMINISTRATOR, AUDITOR = "056839", "095610", "049314", "063241", "009509"
#: The group of each who can sign in; None for who is not of the staff.
SIGN_IN = {
    SERVIDOR: None,
    ANALYST: "Análise",
    MANAGER: "Gestão",
    ADMINISTRATOR: "Administração",
    AUDITOR: "Auditoria",
}
#: (CPF, password, who) of those who may sign in; ``run_portal`` prints them.
DEMO_ACCOUNTS: list[tuple[str, str, str]] = [
    ("181.590.830-09", PASSWORD, "servidora, pede acessos (Lúcia)"),
    ("432.319.487-03", PASSWORD, "analista da Coordenadoria, decide em /admin/ (Lúcia Leão)"),
    ("928.159.013-15", PASSWORD, "Gestão, cuida do catálogo em /admin/ (Luís)"),
    ("279.180.588-52", PASSWORD, "Administração, diz quem é da equipe em /admin/ (Ana)"),
    ("483.726.167-10", PASSWORD, "Auditoria, lê tudo em /admin/ e não muda nada (Tânia)"),
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
    ("SINIC", OWN, "Informações criminais da Polícia Federal.", "https://www.gov.br/pf", ("Consulta",)),
]
#: decision, title, text, system: beside those that every portal begins with
REASONS: list[tuple[str, str, str, str]] = [
    (
        ReasonTemplate.Decision.RETURNED,
        "Falta o e-mail individual",
        "Informe o e-mail funcional da própria pessoa. O e-mail da unidade não é aceito neste sistema.",
        "SIEL",
    ),
    (
        ReasonTemplate.Decision.REJECTED,
        "A unidade já tem três operadores",
        "A unidade já tem o número máximo de operadores do SIEL. Peça antes a saída de um deles.",
        "SIEL",
    ),
    (
        ReasonTemplate.Decision.RETURNED,
        "Falta dizer o magistrado",
        "Diga em nome de qual magistrado a pessoa vai usar o sistema.",
        "SISBAJUD",
    ),
]

#: Accesses from before the portal, as their file gives them.
OLD_ACCESSES = """MATRÍCULA;SISTEMA;TIPO DE USUÁRIO;UNIDADE;DESDE;ATÉ
026665;BNMP 2.0;Servidor;;04/03/2019;
026665;SEEU;Servidor;;11/08/2021;
026117;SERASAJUD;Servidor;;20/05/2020;
067474;RENAJUD;Servidor;;02/02/2018;
089401;SISBAJUD;Servidor assessor;0021-005;15/01/2024;31/12/2099
062247;SISBAJUD;Magistrado;0021-005;15/01/2024;
056106;SEEU;Servidor;;30/09/2022;
092589;RENAJUD;Servidor;;12/06/2017;
"""


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
    for matricula, group in SIGN_IN.items():
        user = person(matricula)
        user.password = make_password(PASSWORD)
        user.is_staff = group is not None
        user.save(update_fields=["password", "is_staff"])
        if group:
            user.groups.add(Group.objects.get(name=group))
    term = terms.publish(terms.draft(), after=0, by=person(MANAGER))
    for matricula in SIGN_IN:  # others meet it at their first sign-in
        terms.accept(person(matricula), term)
    make_catalogue()
    make_requests()
    make_old_accesses()


def person(matricula: str) -> User:
    return Employment.objects.select_related("user").get(matricula=matricula).user


def make_catalogue() -> None:
    """Nine systems with their user types; one of them for magistrates, one that asks for the unit."""
    for name, credential, purpose, url, user_types in CATALOGUE:
        system = ExternalSystem.objects.create(name=name, credential=credential, purpose=purpose, url=url)
        UserType.objects.bulk_create([UserType(system=system, name=user_type) for user_type in user_types])
    for decision, title, text, name in REASONS:
        system = ExternalSystem.objects.get(name=name)
        ReasonTemplate.objects.create(decision=decision, title=title, text=text, system=system)
    ExternalSystem.objects.filter(name="SINIC").update(who_may_ask=ExternalSystem.WhoMayAsk.MAGISTRATES)
    ExternalSystem.objects.filter(name="SISBAJUD").update(asks_unit=True)
    bnmp = ExternalSystem.objects.get(name="BNMP 2.0")
    bnmp.successor = ExternalSystem.objects.get(name="BNMP 3.0")
    bnmp.save(update_fields=["successor"])
    SystemNotice.objects.create(
        system=bnmp, text="Mandados e guias passaram a ser emitidos no BNMP 3.0.", published_on=date(2025, 3, 10)
    )


def make_requests() -> None:
    """One request or two in every status, each brought there through ``move()``; filed some days ago, in turn.

    Else the queue and the numbers would show no age and no time to a decision.
    """
    ages = iter(range(15, 0, -1))
    servidor, analyst, colleague = person(SERVIDOR), person(ANALYST), person("017456")

    def file(requester: User, matricula: str, system: str, user_type: str, description: str) -> AccessRequest:
        bond = Employment.objects.select_related("user", "unit").get(matricula=matricula)
        asked = UserType.objects.select_related("system").get(system__name=system, name=user_type)
        request = workflow.new_request(
            form_nonce=uuid.uuid4(),
            requester=requester,
            bond=bond,
            user_type=asked,
            unit=bond.unit if asked.system.asks_unit else None,
            description=description,
            email=requester.email,
            phone=requester.phone,
        )
        request.created_at -= timedelta(days=next(ages))
        return workflow.file(request)

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
    AccessRequest.objects.filter(pk=expired.pk).update(correct_by=timezone.localdate() - timedelta(days=1))
    move(expired, Status.EXPIRED, by=None)


def make_old_accesses() -> None:
    """From before the portal; one is suspended, and the head of a unit asks for the end of another."""
    plan = grants_file.plan(grants_file.read(OLD_ACCESSES.encode()))
    grants_file.apply(plan, source="acessos.csv")

    def access(matricula: str, system: str) -> int:
        return AccessGrant.objects.get(user=person(matricula), user_type__system__name=system).pk

    workflow.move_grant(
        access("067474", "RENAJUD"), GrantStatus.SUSPENDED, by=person(ANALYST), note="Licença até o fim do semestre."
    )
    workflow.move_grant(
        access("026117", "SERASAJUD"), GrantStatus.TO_REVOKE, by=person(MANAGER), note="A servidora mudou de setor."
    )
