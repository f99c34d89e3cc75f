"""The sweep without broker or worker: for a timer, or for a night without Redis."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts import outbox
from accounts.tasks import sweep, sweep_until


class Command(BaseCommand):
    help = "Envia as mensagens pendentes. Não precisa do broker. Com --loop, repete até receber SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="repete a cada OUTBOX_SWEEP_SECONDS segundos")

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: outbox.stopping.set())
        if options["loop"]:
            sweep_until(outbox.stopping)
        else:
            self.stdout.write(f"{sweep()} mensagem(ns) enviada(s).")
