"""What this app keeps of a person (``accounts.privacy``). Names of others stand here as on the request's own page."""

from __future__ import annotations

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from accounts.models import User
from accounts.privacy import LEFT_OUT, Section, Value, register

from . import corrections
from .holders import who_did
from .models import AccessRequest, GrantEvent, GrantStatus, RequestEvent

STAFF_ACT = "Ato da equipe sobre o pedido de outra pessoa: está no andamento daquele pedido."


def _requests_of(user: User) -> QuerySet[AccessRequest]:
    is_mine = ExpressionWrapper(Q(requester=user), output_field=BooleanField())
    visible = AccessRequest.objects.visible_to(user).annotate(is_mine=is_mine).order_by("-pk")
    return visible.select_related("user_type__system", "requester", "beneficiary", "unit")


def _request_row(request: AccessRequest) -> tuple[Value, ...]:
    is_mine: bool = vars(request)["is_mine"]
    return (
        request.protocol,
        request.created_at,
        request.requester_called,
        request.requester_email if is_mine else None,
        request.requester_phone if is_mine else None,
        request.beneficiary_called,
        request.system.name,
        request.user_type.name,
        str(request.unit) if request.unit else None,
        request.description,
        request.get_status_display(),
        request.decided_at,
    )


def _steps_of(user: User) -> QuerySet[RequestEvent]:
    mine = Q(request__requester=user) | Q(request__beneficiary=user)
    may_read = ExpressionWrapper(Q(request__requester=user) | Q(actor=user), output_field=BooleanField())
    steps = RequestEvent.objects.filter(mine).with_people().annotate(may_read_changes=may_read)
    return steps.select_related("request", "actor").order_by("-pk")


def _changes_of(step: RequestEvent) -> str | None:
    """As on the request's page (``corrections.told_to``)."""
    changes = corrections.in_full(step) if vars(step)["may_read_changes"] else []
    return "\n".join(str(change) for change in changes) or None


def _grant_steps_of(user: User) -> QuerySet[GrantEvent]:
    mine = GrantEvent.objects.filter(grant__user=user)
    return mine.select_related("grant__request", "grant__user_type__system", "typed_credential").order_by("-pk")


def _ends_asked_by(user: User) -> QuerySet[GrantEvent]:
    """The steps of this person that are no act of the staff: heads of units ask, and do not decide."""
    asked = GrantEvent.objects.filter(actor=user, to_status=GrantStatus.TO_REVOKE)
    first = asked.exclude(from_status=GrantStatus.TO_REVOKE)  # an analyst may change the day of one that is asked
    return first.select_related("grant__user", "grant__user_type__system").order_by("-pk")


def _login_typed(event: GrantEvent) -> str | None:
    typed = getattr(event, "typed_credential", None)
    return typed.login if typed else None


def register_own() -> None:
    """Called once, by ``RequestsConfig.ready``."""
    register(
        "solicitacoes",
        Section(
            "Solicitações que fiz ou que são para mim",
            {
                "protocolo": "Protocolo",
                "pedida_em": "Pedida em",
                "solicitante": "Solicitante",
                "meu_email": "E-mail que informei",
                "meu_telefone": "Telefone que informei",
                "para": "Para quem",
                "sistema": "Sistema",
                "tipo_de_usuario": "Tipo de usuário",
                "unidade": "Unidade",
                "descricao": "Descrição",
                "situacao": "Situação",
                "decidida_em": "Decidida em",
            },
            rows=_requests_of,
            row=_request_row,
            covers=frozenset({"requests_app.AccessRequest.requester", "requests_app.AccessRequest.beneficiary"}),
            only_in_file=frozenset({"meu_email", "meu_telefone", "unidade", "descricao", "decidida_em"}),
            note="Os outros dados de cada solicitação estão na página dela e no arquivo.",
        ),
    )
    register(
        "andamentos",
        Section(
            "Andamento das minhas solicitações",
            {
                "protocolo": "Protocolo",
                "quando": "Quando",
                "situacao": "Situação",
                "por": "Quem",
                "motivo": "Motivo",
                "mudancas": "O que foi corrigido",
            },
            rows=_steps_of,
            row=lambda step: (
                step.request.protocol,
                step.at,
                step.get_to_status_display(),
                who_did(step, step.request),
                step.note or None,
                _changes_of(step),
            ),
            covers=frozenset(),
            only_in_file=frozenset({"mudancas"}),
            note="O que foi corrigido está na página de cada solicitação e no arquivo.",
        ),
    )
    register(
        "acessos",
        Section(
            "Acessos que tenho ou tive",
            {
                "sistema": "Sistema",
                "tipo_de_usuario": "Tipo de usuário",
                "unidade": "Unidade",
                "situacao": "Situação",
                "desde": "Desde",
                "protocolo": "Protocolo",
                "vale_ate": "Vale até",
            },
            rows=lambda user: user.grants.select_related("user_type__system", "unit", "request").order_by("-pk"),
            row=lambda grant: (
                grant.user_type.system.name,
                grant.user_type.name,
                str(grant.unit) if grant.unit else None,
                grant.get_status_display(),
                grant.granted_at,
                grant.request.protocol if grant.request else None,
                grant.expires_on,
            ),
            covers=frozenset({"requests_app.AccessGrant.user"}),
        ),
    )
    register(
        "andamentos-dos-acessos",
        Section(
            "Andamento dos meus acessos",
            {
                "protocolo": "Protocolo",
                "quando": "Quando",
                "situacao": "Situação",
                "login": "Login no outro sistema",
                "motivo": "Motivo",
                "sistema": "Sistema",
                "o_que_houve": "O que houve",
            },
            rows=_grant_steps_of,
            row=lambda step: (
                step.grant.request.protocol if step.grant.request else None,
                step.at,
                step.get_to_status_display(),
                _login_typed(step),
                step.note or None,
                step.grant.user_type.system.name,
                step.what,
            ),
            covers=frozenset(),
            note="A primeira senha de outro sistema é apagada do portal depois de enviada.",
        ),
    )
    register(
        "fins-de-acesso-que-pedi",
        Section(
            "Fins de acesso que pedi",
            {
                "quando": "Quando",
                "pessoa": "De quem",
                "sistema": "Sistema",
                "tipo_de_usuario": "Tipo de usuário",
                "motivo": "Motivo",
            },
            rows=_ends_asked_by,
            row=lambda step: (
                step.at,
                step.grant.user.display_name,
                step.grant.user_type.system.name,
                step.grant.user_type.name,
                step.note or None,
            ),
            covers=frozenset({"requests_app.GrantEvent.actor"}),
            note="De colegas da unidade que você chefia, ou seus. A decisão segue por e-mail.",
        ),
    )
    register(
        "anexos",
        Section(
            "Arquivos que enviei",
            {
                "protocolo": "Protocolo",
                "arquivo": "Arquivo",
                "tipo": "Tipo",
                "formato": "Formato",
                "bytes": "Tamanho em bytes",
                "sha256": "SHA-256",
                "enviado_em": "Enviado em",
            },
            rows=lambda user: user.attachments.select_related("request").order_by("-pk"),
            row=lambda attachment: (
                attachment.request.protocol if attachment.request else None,
                attachment.name,
                attachment.get_kind_display(),
                attachment.get_media_type_display(),
                attachment.size,
                attachment.sha256,
                attachment.at,
            ),
            covers=frozenset({"requests_app.Attachment.uploaded_by"}),
            only_in_file=frozenset({"bytes", "sha256"}),
            note="Os arquivos estão na página de cada solicitação.",
        ),
    )
    register(
        "lembretes",
        Section(
            "Lembretes que enviei à Coordenadoria",
            {"protocolo": "Protocolo", "enviado_em": "Enviado em"},
            rows=lambda user: user.reminders.select_related("request").order_by("-pk"),
            row=lambda reminder: (reminder.request.protocol, reminder.at),
            covers=frozenset({"requests_app.Reminder.by"}),
        ),
    )
    register(
        "rascunhos",
        Section(
            "Rascunhos de formulários",
            {"formulario": "Formulário", "preenchido": "Preenchido", "atualizado_em": "Atualizado em"},
            rows=lambda user: user.drafts.order_by("-updated_at"),
            row=lambda draft: (
                draft.form or "Nova Solicitação",
                "; ".join(f"{name}: {value}" for name, value in draft.data.items()),
                draft.updated_at,
            ),
            covers=frozenset({"requests_app.Draft.user"}),
            note="O que foi preenchido e ainda não foi enviado.",
        ),
    )
    LEFT_OUT.update(
        dict.fromkeys(
            (
                "requests_app.AccessRequest.holder",
                "requests_app.AccessRequest.decided_by",
                "requests_app.AccessRequest.completed_by",
                "requests_app.RequestEvent.actor",
                "requests_app.InternalNote.author",
                "requests_app.Batch.by",
            ),
            STAFF_ACT,
        )
    )
    LEFT_OUT["requests_app.CatalogueChange.by"] = "Ato da equipe sobre o catálogo, que é de todos."
    LEFT_OUT["requests_app.JointFiling.requester"] = "Os pedidos que foram feitos juntos estão nas solicitações."
