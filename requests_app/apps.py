"""The app of requests: what it gives the others when it starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RequestsConfig(AppConfig):
    name = "requests_app"
    verbose_name = "Solicitações"

    def ready(self) -> None:
        from accounts import history, housekeeping
        from accounts.directory import effects

        from . import attachments, drafts, emails, groups, joint_mails, models, privacy, reminders, workflow
        from .workflow import departures

        history.append_only(models.RequestEvent)
        history.append_only(models.GrantEvent)
        history.append_only(models.InternalNote)
        history.append_only(models.CatalogueChange)
        history.append_only(models.Reminder)
        emails.register(credential_again=workflow.send_again)
        joint_mails.register()
        reminders.register()
        privacy.register_own()
        housekeeping.CHORES["Solicitações devolvidas cujo prazo passou, expiradas"] = workflow.expire_overdue
        housekeeping.CHORES["Anexos de formulários não enviados, apagados"] = attachments.forget_kept
        housekeeping.CHORES["Rascunhos antigos, apagados"] = drafts.forget_old
        housekeeping.CHORES["Arquivos de anexo sem registro, apagados"] = attachments.forget_strays
        housekeeping.CHORES["Acessos cujo último dia passou, vencidos"] = workflow.expire_ended
        housekeeping.CHORES["Acessos de vínculos encerrados, a revogar"] = departures.flag_unnoticed
        housekeeping.CHORES["Solicitações para quem saiu, canceladas"] = departures.stop_unnoticed
        housekeeping.CHORES["Avisos a quem tem pedido feito por quem saiu"] = departures.tell_untold
        effects.EFFECTS["Acessos de vínculos encerrados, a revogar"] = departures.flag_ended
        effects.EFFECTS["Acessos na unidade anterior, a revogar"] = departures.flag_transferred
        effects.EFFECTS["Solicitações canceladas"] = departures.stop_requests
        effects.EFFECTS["Avisos a quem tem pedido feito por quem saiu"] = departures.tell_beneficiaries
        groups.register_own()
        post_migrate.connect(groups.keep_groups, sender=self)
