"""What time brings, for a timer (``accounts.housekeeping``)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import housekeeping


class Command(BaseCommand):
    """Exit status: 0 all done, 1 at least one chore failed; the others were done."""

    help = "Encerra, avisa e apaga o que venceu. Pode ser repetido, também ao mesmo tempo."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="mostra quantos seriam, sem mudar nada")

    def handle(self, *args: Any, **options: Any) -> None:
        done = housekeeping.run(dry_run=options["dry_run"])
        for label, count in done.items():
            self.stdout.write(f"{label}: {'falhou' if count is None else count}")
        if options["dry_run"]:
            self.stdout.write("Simulação: nada foi mudado.")
        if None in done.values():
            raise CommandError("Uma tarefa falhou; o registro diz por quê. As outras foram feitas.")
