"""The operator's way, when two people of Gestão are not to be had."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import cpf as cpf_rules
from accounts import factors, removals
from accounts.models import User


class Command(BaseCommand):
    help = "Retira a verificação em duas etapas da pessoa deste CPF. Fica registrado, e ela recebe um e-mail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cpf")
        parser.add_argument("--reason", required=True, help="por que, e quem autorizou; fica registrado")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        cpf = cpf_rules.clean(options["cpf"])
        if cpf is None:
            raise CommandError("CPF inválido. Confira os números e digite de novo.")
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("Escreva o motivo em --reason.")
        user = User.objects.select_for_update(of=("self",), no_key=True).filter(cpf=cpf).first()
        if user is None:
            raise CommandError("Não há pessoa com este CPF no cadastro.")
        if factors.of(user) is None:
            raise CommandError("Esta pessoa não usa a verificação em duas etapas.")
        removals.take_off(user, by=None, detail=f"linha de comando: {reason}")
        self.stdout.write(f"Verificação em duas etapas retirada: {user.display_name} ({user.masked_cpf}).")
