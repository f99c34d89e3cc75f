"""``manage.py import_directory FILE``: people and bonds from the file of the personnel system."""

from __future__ import annotations

import shutil
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from accounts import directory

#: Whether the last word reached the database, nobody here knows.
NO_DATABASE = (
    "O banco de dados não respondeu ou interrompeu a importação. Confira se ele está no ar e importe de novo. "
    "Se a importação já tinha sido aplicada, a segunda não muda nada."
)
CONFIRM = "Para confirmar o CPF novo de uma matrícula, use --accept-cpf MATRÍCULA."
#: How a tab is written on a command line.
TAB = "tab"


class Command(BaseCommand):
    """Exit status: 0 applied, 3 applied but for refused lines, 1 nothing applied. With --dry-run: what it would be."""

    help = "Importa as pessoas e os vínculos do arquivo de pessoal (CSV)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="ARQUIVO", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="mostra o que mudaria, sem mudar nada")
        parser.add_argument("--encoding", help="codificação do arquivo, se não for UTF-8, UTF-16 nem Windows-1252")
        parser.add_argument(
            "--separator",
            choices=[TAB if separator == "\t" else separator for separator in directory.SEPARATORS],
            help="o que separa as colunas, se o portal não o encontra; tab é a tabulação",
        )
        parser.add_argument(
            "--allow-departures", type=int, default=0, metavar="N", help="aceita encerrar até N vínculos de uma vez"
        )
        parser.add_argument(
            "--accept-cpf",
            action="append",
            default=[],
            metavar="MATRÍCULA",
            help="confirma o CPF novo que o arquivo traz para esta matrícula; pode ser repetida",
        )
        parser.add_argument(
            "--report", type=Path, metavar="ARQUIVO", help="grava em CSV as linhas recusadas e as corrigidas"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            with ExitStack() as stack:
                stream = stack.enter_context(self._open(file))
                report = options["report"] and directory.LineReport(options["report"], imported=file)
                if report:
                    stack.callback(report.discard)
                separator = options["separator"] and options["separator"].replace(TAB, "\t")
                reading = stack.enter_context(
                    directory.read(cast("Any", stream), encoding=options["encoding"], separator=separator)
                )
                plan = directory.plan(reading, accept_cpfs=options["accept_cpf"])
                if report:
                    report.write(reading.store)
                done = self._carry_out(plan, options)
        except directory.DirectoryError as error:
            raise CommandError(f"{error} Nada foi aplicado.") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(NO_DATABASE) from error
        if options["verbosity"]:
            self.stdout.write(self.style.SUCCESS(done))
        if plan.refused:
            raise CommandError(f"Linhas recusadas: {plan.refused}. Corrija-as e importe de novo.", returncode=3)

    def _carry_out(self, plan: directory.Plan, options: dict[str, Any]) -> str:
        """Returns what was done."""
        if options["verbosity"]:
            self._show(plan)
        if not plan.lines:
            raise CommandError("Nenhuma linha do arquivo pôde ser usada. Nada foi aplicado.")
        if options["dry_run"]:
            directory.check_departures(plan, allowed=options["allow_departures"])
            return "Simulação: nada foi aplicado."
        directory.apply(plan, allow_departures=options["allow_departures"])
        return "Importação aplicada."

    def _open(self, file: Path) -> IO[bytes]:
        """The file, or a copy of what comes through a pipe: it is read twice."""
        try:
            stream = file.open("rb")
            if stream.seekable():
                return stream
            with stream:
                copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
                shutil.copyfileobj(stream, copy)
                return copy
        except OSError as error:
            raise CommandError(f"O arquivo {file} não pôde ser lido: {error.strerror}. Nada foi aplicado.") from error

    def _show(self, plan: directory.Plan) -> None:
        for sentence in directory.sentences(plan):
            self.stdout.write(sentence)
        for section in directory.sections(plan):
            self.stdout.write(section.title)
            for line in section.lines:
                self.stdout.write(f"  {line}")
            if section.more:
                self.stdout.write(f"  … e mais {section.more}.")
        if directory.awaiting(plan):
            self.stdout.write(CONFIRM)
