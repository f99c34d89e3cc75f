"""The first administrator, and the way back in when nobody else can let anybody in."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import cpf as cpf_rules
from accounts import resets, security
from accounts.models import SecurityEvent, User


class Command(BaseCommand):
    help = "Torna administradora a pessoa deste CPF (criada se não existir) e mostra o link para ela criar a senha."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cpf")
        parser.add_argument("--name", default="", help="nome, se a pessoa ainda não está no cadastro")
        parser.add_argument("--email", default="", help="e-mail institucional, se não está no cadastro")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        cpf = cpf_rules.clean(options["cpf"])
        if cpf is None:
            raise CommandError("CPF inválido. Confira os números e digite de novo.")
        user = User.objects.filter(cpf=cpf).first()
        if user is None:
            if not (options["name"].strip() and options["email"].strip()):
                raise CommandError("Esta pessoa não está no cadastro: informe também --name e --email.")
            user = User(cpf=cpf, name=options["name"].strip(), email=options["email"].strip())
            user.set_unusable_password()
            try:
                user.clean_fields(exclude={"search_name"})  # made when it is saved
            except ValidationError as wrong:
                raise CommandError(" ".join(wrong.messages)) from None
            user.save()
        user.is_active = user.is_staff = user.is_superuser = True
        user.left_at = None
        user.save(update_fields=["is_active", "is_staff", "is_superuser", "left_at"])
        security.record(SecurityEvent.Kind.ADMINISTRATOR_MADE, user=user, detail="linha de comando")
        self.stdout.write(f"{user.display_name} ({user.masked_cpf}) administra o portal.")
        # On the console and nowhere else: this command is for when mail does not work yet, too.
        self.stdout.write(f"Para criar a senha, em até 60 minutos:\n{resets.link_for(user)}")
