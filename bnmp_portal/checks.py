"""What must hold before the portal starts; a wrong configuration is found here, not by a user."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django_recaptcha.constants import TEST_PRIVATE_KEY, TEST_PUBLIC_KEY

from accounts import breaches, history

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


@register(Tags.security)
def captcha_keys(**_kwargs: Any) -> list[CheckMessage]:
    """Google's published test keys let every robot pass."""
    if {settings.RECAPTCHA_PUBLIC_KEY, settings.RECAPTCHA_PRIVATE_KEY} & {TEST_PUBLIC_KEY, TEST_PRIVATE_KEY}:
        return [
            Error(
                "As chaves de teste do Google deixam qualquer robô passar.",
                hint="Troque RECAPTCHA_PUBLIC_KEY e RECAPTCHA_PRIVATE_KEY, ou tire as duas para usar o ALTCHA.",
                id="portal.E001",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def public_address(**_kwargs: Any) -> list[CheckMessage]:
    """Cookies and links travel by this address."""
    if settings.HTTPS:
        return []
    return [Error("PORTAL_URL deve começar com https:// em produção.", id="portal.E002")]


@register(Tags.security, deploy=True)
def real_mail(**_kwargs: Any) -> list[CheckMessage]:
    """A mail in a file reaches nobody."""
    if settings.EMAIL_BACKEND == SMTP_BACKEND:
        return []
    return [checks.Warning("EMAIL_URL não é um servidor SMTP: nenhum e-mail sairá.", id="portal.W003")]


@register(Tags.security, deploy=True)
def no_demonstration(**_kwargs: Any) -> list[CheckMessage]:
    """The demonstration shows everybody's mail."""
    if not settings.PORTAL_DEMO:
        return []
    return [Error("PORTAL_DEMO não pode estar ligado em produção.", id="portal.E004")]


@register(Tags.security, deploy=True)
def second_factor(**_kwargs: Any) -> list[CheckMessage]:
    """A password alone, perhaps used elsewhere too, must not open the desk (Portaria CNJ 140/2024)."""
    if settings.STAFF_MFA:
        return []
    return [
        checks.Warning(
            "STAFF_MFA está desligado: a administração abre só com a senha.",
            hint="Tire STAFF_MFA=off.",
            id="portal.W006",
        )
    ]


@register(Tags.security, deploy=True)
def breached_passwords(**_kwargs: Any) -> list[CheckMessage]:
    """A rule that somebody counts on must not be off unseen.

    Said where the web server starts, and by no other command: machines without one need no such file, and the last
    ways in must not depend on it.
    """
    if not settings.BREACHED_PASSWORDS_FILE:
        return []
    try:
        breaches.check_file()
    except breaches.OddFileError as problem:
        why = str(problem)
    except (OSError, ValueError):
        why = "O arquivo não existe ou não pode ser lido."
    else:
        return []
    return [
        checks.Warning(
            f"BREACHED_PASSWORDS_FILE não serve. {why}",
            hint="Veja “Breached passwords” em deploy/README.md, ou tire a variável.",
            id="portal.W007",
        )
    ]


@register(Tags.security)
def attachments_apart(**_kwargs: Any) -> list[CheckMessage]:
    """What people upload must not lie where a web server hands out files, or where the next release is copied."""
    folder = settings.ATTACHMENTS_DIR.resolve()
    kept_apart = [settings.STATIC_ROOT.resolve(), settings.BASE_DIR]
    if settings.PORTAL_DEMO and folder.is_relative_to(settings.VAR_DIR):
        kept_apart.remove(settings.BASE_DIR)
    if not any(folder.is_relative_to(place) or place.is_relative_to(folder) for place in kept_apart):
        return []
    return [
        Error(
            "ATTACHMENTS_DIR não pode ficar dentro do código ou de STATIC_ROOT, nem conter um deles.",
            hint="Use uma pasta só para os anexos, como /var/lib/portal/attachments.",
            id="portal.E008",
        )
    ]


@register(Tags.security, deploy=True)
def attachments_can_be_kept(**_kwargs: Any) -> list[CheckMessage]:
    """Said where the web server starts: a request whose files cannot be kept would be filed without them."""
    if settings.ATTACHMENTS_DIR.is_dir() and os.access(settings.ATTACHMENTS_DIR, os.R_OK | os.W_OK | os.X_OK):
        return []
    return [
        checks.Warning(
            f"A pasta de anexos não existe ou não pode ser escrita: {settings.ATTACHMENTS_DIR}.",
            hint="Crie a pasta para o usuário do portal ou mude ATTACHMENTS_DIR. Veja deploy/README.md.",
            id="portal.W009",
        )
    ]


@register(Tags.database)
def history_is_guarded(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """The triggers that keep history from being changed (``accounts.history``)."""
    messages: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        tables = set(connection.introspection.table_names())
        if not all(rule.table in tables for rule in history.RULES.values()):
            continue  # before the first migration
        if missing := history.missing_triggers(connection):
            messages.append(
                checks.Warning(
                    f"O histórico está sem proteção: faltam {', '.join(missing)}.",
                    hint="Execute manage.py migrate.",
                    id="portal.W005",
                )
            )
    return messages
