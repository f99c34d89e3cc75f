"""What the portal knows of one person, for who asks by another way than the portal's own page."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import cpf as cpf_rules
from accounts import privacy, security
from accounts.models import SecurityEvent, User


class Command(BaseCommand):
    """Exit status: 0 written, 1 nothing was."""

    help = "Escreve em JSON tudo o que o portal guarda sobre a pessoa deste CPF (LGPD, art. 18)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cpf")
        parser.add_argument("--output", type=Path, help="arquivo novo, que só o dono lê; sem ele, sai na tela")

    def handle(self, *args: Any, **options: Any) -> None:
        cpf = cpf_rules.clean(options["cpf"])
        if cpf is None:
            raise CommandError("CPF inválido. Confira os números e digite de novo.")
        user = User.objects.filter(cpf=cpf).first()
        if user is None:
            raise CommandError("Nenhuma pessoa com este CPF está no portal.")
        if options["output"] is None:
            # Before: half of it on a screen has been read, too.
            _record(user, "linha de comando, na tela: iniciada")
            for piece in privacy.export(user):
                self.stdout.write(piece, ending="")
        else:
            write_new(options["output"], user)
            self.stderr.write(f"Gravado em {options['output']}. Entregue só à própria pessoa e apague depois.")


def _record(user: User, how: str) -> None:
    security.record(SecurityEvent.Kind.EXPORTED, user=user, detail=how)


def write_new(path: Path, user: User) -> None:
    """Write the file, mode 600; what is there already is not touched, and no half of a file is left behind."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} já existe. Escolha outro nome.") from None
    except OSError as problem:
        raise CommandError(f"{path} não pôde ser criado: {problem.strerror}.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(privacy.export(user))
            _record(user, "linha de comando, em arquivo")
    except BaseException:
        path.unlink()
        raise
