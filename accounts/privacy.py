"""What the portal knows of a person: shown to them, and handed over as a file (LGPD art. 18, II and V).

Each app registers what it keeps. A test walks all models that point at a person: what stands neither in a section nor
in ``LEFT_OUT`` fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from . import cpf, devices, outbox, sessions
from .desk import moment
from .models import FactorRemoval, SecurityEvent, User

#: What a cell may hold; ``None`` where there is nothing.
Value = str | int | bool | date | datetime | None

#: Rows in memory at a time, however many there are.
CHUNK = 500


@dataclass(frozen=True)
class Section:
    """One sort of thing that is kept of people.

    ``columns`` maps the names in the file to the words on the page; ``row`` gives one row's values in that order.
    ``covers`` names the fields that point at the person, as ``app.Model.field``. ``only_in_file``: columns that would
    crowd the page.
    """

    title: str
    columns: dict[str, str]
    rows: Callable[[User], QuerySet[Any]]
    row: Callable[[Any], tuple[Value, ...]]
    covers: frozenset[str]
    only_in_file: frozenset[str] = frozenset()
    note: str = ""
    empty: str = "Nada guardado."


#: The name in addresses and in the file -> the section, in the order of the page.
SECTIONS: dict[str, Section] = {}
#: Fields that point at a person and are not handed over -> why.
LEFT_OUT: dict[str, str] = {}


def register(name: str, section: Section) -> None:
    """Called by each app in ``AppConfig.ready``."""
    SECTIONS[name] = section


def registration(user: User) -> dict[str, Value]:
    """The person's own row, as the file names its parts. The CPF whole: who shows it masks it."""
    return {
        "nome_civil": user.name,
        "nome_social": user.social_name or None,
        "cpf": cpf.formatted(user.cpf),
        "email": user.email or None,
        "email_corrigido_em": user.email_corrected_at,
        "telefone": user.phone or None,
        "cadastro_em": user.date_joined,
        "ultima_entrada": user.last_login,
        "pode_entrar": user.is_active,
        "sem_vinculo_desde": user.left_at,
        "tem_senha": user.has_usable_password(),
        "usa_a_administracao": user.is_staff,
        "grupos": ", ".join(user.groups.order_by("name").values_list("name", flat=True)) or None,
    }


#: What the page calls the parts of ``registration``.
REGISTRATION_LABELS = {
    "nome_civil": "Nome civil",
    "nome_social": "Nome social",
    "cpf": "CPF",
    "email": "E-mail institucional",
    "email_corrigido_em": "E-mail corrigido pela Coordenadoria em",
    "telefone": "Telefone",
    "cadastro_em": "No portal desde",
    "ultima_entrada": "Última entrada",
    "pode_entrar": "Pode entrar no portal",
    "sem_vinculo_desde": "Sem vínculo, e por isso sem entrada, desde",
    "tem_senha": "Tem senha",
    "usa_a_administracao": "Usa a administração",
    "grupos": "Grupos da equipe",
}


def _as_text(value: Value) -> str | int | bool | None:
    """As the file has it: dates by ISO 8601, times with the court's offset."""
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    return value.isoformat() if isinstance(value, date) else value


def in_words(value: Value) -> str:
    """As the page has it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "sim" if value else "não"
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:%d/%m/%Y}" if isinstance(value, date) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def export(user: User) -> Iterator[str]:
    """All of it as JSON, a piece at a time: somebody with a million events takes no more memory than others."""
    head = {"gerado_em": _as_text(timezone.now()), "portal": settings.PORTAL_URL}
    yield "{\n" + "".join(f"  {_json(name)}: {_json(value)},\n" for name, value in head.items())
    yield f'  "cadastro": {_json({name: _as_text(value) for name, value in registration(user).items()})}'
    for name, section in SECTIONS.items():
        yield f",\n  {_json(name)}: ["
        before = "\n    "
        for row in section.rows(user).iterator(chunk_size=CHUNK):
            yield before + _json(dict(zip(section.columns, map(_as_text, section.row(row)), strict=True)))
            before = ",\n    "
        yield "]" if before == "\n    " else "\n  ]"
    yield "\n}\n"


# --- What this app keeps --------------------------------------------------------------------------------------------
#: What somebody did at the door who had not come in.
WHOEVER_IT_WAS = frozenset(
    {
        SecurityEvent.Kind.SIGN_IN_FAILED,
        SecurityEvent.Kind.PASSWORD_ACCEPTED,
        SecurityEvent.Kind.PASSWORD_REFUSED,
        SecurityEvent.Kind.FACTOR_FAILED,
        SecurityEvent.Kind.SUSPICIOUS_SIGN_IN,
    }
)


def _by(event: SecurityEvent) -> str:
    """Names of the staff are theirs."""
    if event.actor_id is None:
        return "não identificado" if event.kind in WHOEVER_IT_WAS else "o portal"
    return "você" if event.actor_id == event.user_id else "a equipe"


def _device(user_agent: str) -> str | None:
    return devices.kind(user_agent) if user_agent else None


def _removal_state(removal: FactorRemoval) -> str:
    if removal.confirmed_at:
        return "confirmada"
    if removal.refused_by_id:
        return "recusada"
    return "vencida" if removal.refused_at or removal.lapses_at <= timezone.now() else "aguarda confirmação"


def register_own() -> None:
    """Called once, by ``AccountsConfig.ready``."""
    register(
        "vinculos",
        Section(
            "Vínculos com o Tribunal",
            {
                "matricula": "Matrícula",
                "cargo": "Cargo",
                "quadro": "Quadro",
                "lotacao": "Lotação",
                "inicio": "Início",
                "fim": "Fim",
            },
            rows=lambda user: user.employments.select_related("unit").order_by("-started_on", "-pk"),
            row=lambda bond: (
                bond.matricula,
                bond.cargo,
                bond.staff_kind or None,
                str(bond.unit),
                bond.started_on,
                bond.ended_on,
            ),
            covers=frozenset({"accounts.Employment.user"}),
            note="Vêm do cadastro de pessoal. Se algo estiver errado, avise a Gestão de Pessoas.",
        ),
    )
    register(
        "mudancas-de-email",
        Section(
            "Mudanças de e-mail",
            {"quando": "Quando", "anterior": "E-mail anterior", "motivo": "Motivo"},
            rows=lambda user: user.address_changes.order_by("-pk"),
            row=lambda change: (change.at, change.old or None, change.reason or None),
            covers=frozenset({"accounts.AddressChange.user"}),
            note="Depois de 30 dias, só um trecho do e-mail anterior continua guardado.",
        ),
    )
    register(
        "mensagens",
        Section(
            "E-mails que o portal enviou a mim",
            {
                "mensagem": "Mensagem",
                "criada_em": "Criada em",
                "situacao": "Situação",
                "enviada_em": "Enviada em",
            },
            rows=lambda user: user.mails.order_by("-pk"),
            row=lambda mail: (
                outbox.KINDS[mail.kind].label if mail.kind in outbox.KINDS else mail.kind,
                mail.created_at,
                mail.get_status_display(),
                mail.sent_at,
            ),
            covers=frozenset({"accounts.OutgoingMail.recipient"}),
            note="O texto das mensagens não fica guardado no portal.",
        ),
    )
    register(
        "sessoes",
        Section(
            "Onde a minha conta está aberta",
            {"desde": "Desde", "ultimo_uso": "Último uso", "endereco": "Endereço de rede", "aparelho": "Aparelho"},
            rows=sessions.of,
            row=lambda session: (session.signed_in_at, session.seen_at, session.address, _device(session.device)),
            covers=frozenset({"accounts.Session.user"}),
        ),
    )
    register(
        "eventos-de-seguranca",
        Section(
            "Eventos de segurança",
            {
                "quando": "Quando",
                "evento": "Evento",
                "por": "Feito por",
                "endereco": "Endereço de rede",
                "aparelho": "Aparelho",
                "detalhe": "Detalhe",
            },
            rows=lambda user: user.security_events.order_by("-pk"),
            row=lambda event: (
                event.at,
                event.get_kind_display(),
                _by(event),
                event.address if event.actor_id in {None, event.user_id} else None,  # the staff's own is theirs
                _device(event.device) if event.actor_id in {None, event.user_id} else None,
                event.detail or None,
            ),
            covers=frozenset({"accounts.SecurityEvent.user"}),
            note="Entradas recusadas antes da senha certa não guardam a pessoa: só um código feito do CPF digitado.",
        ),
    )
    register(
        "termos-aceitos",
        Section(
            "Termos que aceitei",
            {
                "versao": "Versão",
                "aceito_em": "Aceito em",
                "endereco": "Endereço de rede",
                "aparelho": "Aparelho",
            },
            rows=lambda user: user.term_acceptances.select_related("term").order_by("-pk"),
            row=lambda acceptance: (
                acceptance.term.version,
                acceptance.at,
                acceptance.address,
                _device(acceptance.device),
            ),
            covers=frozenset({"accounts.TermAcceptance.user"}),
        ),
    )
    register_factor_sections()
    LEFT_OUT.update(
        {
            "accounts.SecurityEvent.actor": "O que a pessoa fez a outras, como equipe: são dados das outras.",
            "accounts.Term.published_by": "Ato da equipe, visível no próprio termo; nada diz da pessoa.",
            "accounts.Employment.sponsor": "Por quem a pessoa responde perante o Tribunal: é dado do vínculo da outra.",
            "accounts.FactorRemoval.asked_by": "Ato da equipe sobre outra pessoa: são dados da outra.",
            "accounts.FactorRemoval.confirmed_by": "Ato da equipe sobre outra pessoa: são dados da outra.",
            "accounts.FactorRemoval.refused_by": "Ato da equipe sobre outra pessoa: são dados da outra.",
            "accounts.DirectoryImport.uploaded_by": "Ato da equipe sobre o cadastro, que é de todos.",
            "accounts.DirectoryImport.decided_by": "Ato da equipe sobre o cadastro, que é de todos.",
            "accounts.User_groups.user": "Está no cadastro, como grupos da equipe.",
            "accounts.User_user_permissions.user": "O portal dá permissões só por grupos, que estão no cadastro.",
            "admin.LogEntry.user": "O que a pessoa mudou na administração, sobre outras: são dados das outras.",
        }
    )


def register_factor_sections() -> None:
    """What proves a sign-in: when it came and went, and nothing that would let anybody in."""
    from .models import Authenticator

    register(
        "segundo-fator",
        Section(
            "Verificação em duas etapas",
            {"ligado_em": "Desde", "situacao": "Situação"},
            rows=lambda user: Authenticator.objects.filter(user=user).order_by("-pk"),
            row=lambda factor: (factor.created_at, "ligada" if factor.confirmed else "ainda não confirmada"),
            covers=frozenset({"accounts.Authenticator.user"}),
            empty="Desligada.",
            note="Nos registros, ela se chama segundo fator.",
        ),
    )
    register(
        "codigos-de-recuperacao",
        Section(
            "Códigos de recuperação",
            {"criado_em": "Criado em", "usado_em": "Usado em"},
            rows=lambda user: user.recovery_codes.order_by("-pk"),
            row=lambda code: (code.created_at, code.used_at),
            covers=frozenset({"accounts.RecoveryCode.user"}),
        ),
    )
    register(
        "retiradas-de-segundo-fator",
        Section(
            "Pedidos para retirar a minha verificação em duas etapas",
            {"pedida_em": "Pedida em", "motivo": "Motivo", "situacao": "Situação"},
            rows=lambda user: user.factor_removals.order_by("-pk"),
            row=lambda removal: (removal.asked_at, removal.reason, _removal_state(removal)),
            covers=frozenset({"accounts.FactorRemoval.user"}),
        ),
    )
    register(
        "senhas-provisorias",
        Section(
            "Senhas provisórias que recebi",
            {
                "criada_em": "Criada em",
                "enviada_em": "Enviada em",
                "vence_em": "Vence em",
                "encerrada_em": "Encerrada em",
            },
            rows=lambda user: user.provisional_passwords.order_by("-pk"),
            row=lambda live: (live.created_at, live.mailed_at, live.lapses_at, live.ended_at),
            covers=frozenset({"accounts.ProvisionalPassword.user"}),
            note="A senha não fica guardada.",
        ),
    )
