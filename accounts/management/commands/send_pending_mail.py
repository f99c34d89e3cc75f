"""The sweep without broker or worker: for a timer, or for a night without Redis."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from accounts.tasks import sweep


class Command(BaseCommand):
    help = "Envia as mensagens pendentes. Não precisa do broker. Com --loop, repete até receber SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="repete a cada OUTBOX_SWEEP_SECONDS segundos")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Event()
        if options["loop"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
        while True:
            sent = sweep()
            if sent or not options["loop"]:
                self.stdout.write(f"{sent} mensagem(ns) enviada(s).")
            close_old_connections()
            if not options["loop"] or stop.wait(settings.OUTBOX_SWEEP_SECONDS):
                return
