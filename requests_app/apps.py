"""The app of requests: what it gives the others when it starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RequestsConfig(AppConfig):
    name = "requests_app"
    verbose_name = "Solicitações"

    def ready(self) -> None:
        from accounts import history, housekeeping

        from . import attachments, emails, groups, models, privacy, workflow

        history.append_only(models.RequestEvent)
        history.append_only(models.GrantEvent)
        history.append_only(models.InternalNote)
        history.append_only(models.CatalogueChange)
        emails.register(credential_again=workflow.send_again)
        privacy.register_own()
        housekeeping.CHORES["Solicitações devolvidas cujo prazo passou, expiradas"] = workflow.expire_overdue
        housekeeping.CHORES["Anexos de formulários não enviados, apagados"] = attachments.forget_kept
        housekeeping.CHORES["Arquivos de anexo sem registro, apagados"] = attachments.forget_strays
        housekeeping.CHORES["Acessos cujo último dia passou, vencidos"] = workflow.expire_ended
        groups.register_own()
        post_migrate.connect(groups.keep_groups, sender=self)
