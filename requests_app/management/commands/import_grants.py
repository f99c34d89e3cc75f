"""``manage.py import_grants FILE``: the accesses that people had before the portal."""

from __future__ import annotations

import csv
import os
import stat
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import directory
from accounts.directory.telling import ENCODING_NAMES, SEPARATOR_NAMES
from accounts.spreadsheets import harmless
from requests_app import grants_file
from requests_app.grants_file import Outcome, Plan, Reading


class Command(BaseCommand):
    """Exit status: 0 applied, 3 applied but for refused lines, 1 nothing applied. With --dry-run: what it would be."""

    help = "Importa os acessos que já existiam antes do portal (CSV). Ninguém recebe e-mail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="ARQUIVO", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="mostra o que mudaria, sem mudar nada")
        parser.add_argument("--encoding", help="codificação do arquivo, se não for UTF-8 nem Windows-1252")
        parser.add_argument("--report", type=Path, metavar="CSV", help="grava aqui o resultado de cada linha")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            reading = grants_file.read(self._content(file), encoding=options["encoding"])
            plan = grants_file.plan(reading)
            if options["report"]:
                self._write_report(options["report"], plan, read_from=file)
            if options["verbosity"]:
                self._tell(reading, plan)
            if len(plan.refused) == len(plan.told):
                raise CommandError("Nenhuma linha do arquivo pôde ser usada. Nada foi aplicado.")
            if not options["dry_run"]:
                grants_file.apply(plan, source=file.name)
        except directory.DirectoryError as error:
            raise CommandError(f"{error} Nada foi aplicado.") from error
        if options["verbosity"]:
            done = "Simulação: nada foi aplicado." if options["dry_run"] else "Importação aplicada."
            self.stdout.write(self.style.SUCCESS(done))
        if plan.refused:
            raise CommandError(f"Linhas recusadas: {len(plan.refused)}. Corrija-as e importe de novo.", returncode=3)

    def _content(self, file: Path) -> bytes:
        try:
            with file.open("rb") as stream:
                return stream.read(directory.MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"O arquivo {file} não pôde ser lido: {error.strerror}. Nada foi aplicado.") from error

    def _write_report(self, file: Path, plan: Plan, *, read_from: Path) -> None:
        """One row for each line, as Excel opens it; readable by its owner alone. It is written before anything else."""
        if file.exists() and file.samefile(read_from):
            raise CommandError("O resultado seria gravado por cima da planilha. Use outro nome. Nada foi aplicado.")
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as stream:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):  # and no /dev/null
                    os.fchmod(descriptor, 0o600)  # one that was there already had a mode of its own
                report = csv.writer(stream, delimiter=";")
                report.writerow(["linha", "matrícula", "sistema", "tipo de usuário", "resultado", "motivo"])
                for told in plan.told:
                    line = told.line
                    cells = [line.matricula, line.system, line.user_type, told.outcome.value, told.sentence]
                    report.writerow([line.number, *(harmless(grants_file.shown(cell, 200)) for cell in cells)])
        except OSError as error:
            raise CommandError(f"O resultado não pôde ser gravado: {error.strerror}. Nada foi aplicado.") from error

    def _tell(self, reading: Reading, plan: Plan) -> None:
        encoding = ENCODING_NAMES.get(reading.encoding, reading.encoding)
        self.stdout.write(f"Arquivo em {encoding}, separado por {SEPARATOR_NAMES[reading.separator]}.")
        if reading.unknown_columns:
            columns = ", ".join(repr(column[:40]) for column in reading.unknown_columns)
            self.stdout.write(f"Colunas que não são usadas: {columns}.")
        new, present = plan.count(Outcome.NEW), plan.count(Outcome.PRESENT)
        self.stdout.write(f"Acessos novos: {new}; já no portal: {present}.")
        self.stdout.write(f"Linhas recusadas: {len(plan.refused)}.")
        for told in plan.refused:
            self.stdout.write(f"  Linha {told.line.number}: {told.sentence}")
