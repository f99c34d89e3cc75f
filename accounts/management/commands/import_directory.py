"""``manage.py import_directory FILE``: people and bonds from the file of the personnel system."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import cpf as cpf_rules
from accounts import directory

SEPARATOR_NAMES = {";": "ponto e vírgula", ",": "vírgula", "\t": "tabulação"}
ENCODING_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252"}


class Command(BaseCommand):
    """Exit status: 0 applied, 3 applied but for refused lines, 1 nothing applied. With --dry-run: what it would be."""

    help = "Importa as pessoas e os vínculos do arquivo de pessoal (CSV)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="ARQUIVO", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="mostra o que mudaria, sem mudar nada")
        parser.add_argument("--encoding", help="codificação do arquivo, se não for UTF-8 nem Windows-1252")
        parser.add_argument(
            "--allow-departures", type=int, default=0, metavar="N", help="aceita encerrar até N vínculos de uma vez"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            reading = directory.read(self._content(file), encoding=options["encoding"])
            plan = directory.plan(reading)
            if options["verbosity"]:
                self._report(reading, plan)
            if not reading.rows:
                raise CommandError("Nenhuma linha do arquivo pôde ser usada. Nada foi aplicado.")
            if options["dry_run"]:
                directory.check_departures(plan, allowed=options["allow_departures"])
                done = "Simulação: nada foi aplicado."
            else:
                directory.apply(plan, allow_departures=options["allow_departures"])
                done = "Importação aplicada."
        except directory.DirectoryError as error:
            raise CommandError(f"{error} Nada foi aplicado.") from error
        if options["verbosity"]:
            self.stdout.write(self.style.SUCCESS(done))
        if plan.refused:
            raise CommandError(f"Linhas recusadas: {len(plan.refused)}. Corrija-as e importe de novo.", returncode=3)

    def _content(self, file: Path) -> bytes:
        try:
            with file.open("rb") as stream:
                return stream.read(directory.MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"O arquivo {file} não pôde ser lido: {error.strerror}. Nada foi aplicado.") from error

    def _report(self, reading: directory.Reading, plan: directory.Plan) -> None:
        encoding = ENCODING_NAMES.get(reading.encoding, reading.encoding)
        self.stdout.write(f"Arquivo em {encoding}, separado por {SEPARATOR_NAMES[reading.separator]}.")
        if reading.unknown_columns:
            columns = ", ".join(repr(column[:40]) for column in reading.unknown_columns)
            self.stdout.write(f"Colunas que não são usadas: {columns}.")
        self.stdout.write(
            f"Unidades: {len(plan.new_units)} novas, {len(plan.changed_units)} alteradas.\n"
            f"Pessoas: {len(plan.new_people)} novas, {len(plan.changed_people)} alteradas, "
            f"{plan.unchanged_people} sem mudança.\n"
            f"Vínculos: {len(plan.new_bonds)} novos, {len(plan.changed_bonds)} alterados, "
            f"{len(plan.left_bonds)} encerrados por não estarem no arquivo, {plan.unchanged_bonds} sem mudança."
        )
        if reading.repeated:
            self.stdout.write(f"Linhas repetidas, lidas uma vez só: {len(reading.repeated)}.")
        self.stdout.write(f"CPFs corrigidos com os zeros que faltavam no início: {len(plan.repaired)}.")
        for row in plan.repaired:
            self.stdout.write(f"  Linha {row.line}: {cpf_rules.masked(row.cpf)}")
        self.stdout.write(f"E-mails alterados, com aviso ao endereço anterior: {len(plan.changed_addresses)}.")
        if plan.kept_addresses:
            self.stdout.write(f"E-mails corrigidos à mão, que o arquivo não altera: {len(plan.kept_addresses)}.")
        for row in plan.kept_addresses:
            self.stdout.write(f"  Linha {row.line}, matrícula {row.matricula}: o arquivo traz outro e-mail.")
        self.stdout.write(f"Linhas recusadas: {len(plan.refused)}.")
        for line in plan.refused:
            whose = f", matrícula {line.shown_matricula}" if line.shown_matricula else ""
            self.stdout.write(f"  Linha {line.line}{whose}: {line.sentence}")
