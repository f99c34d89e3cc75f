"""Gunicorn: how many processes, an access log in which no secret and no search term stands, and where they count."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger
from prometheus_client import values

from bnmp_portal.logs import Redact, formatter, redacted

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bnmp_portal.settings")

wsgi_app = "bnmp_portal.wsgi:application"
bind = os.environ.get("PORTAL_BIND", "127.0.0.1:8000")

# The application is loaded once and shared by the forked workers.
preload_app = True
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "4"))
# Each worker is replaced now and then, so that no leak lasts; not all of them at once.
max_requests = 5000
max_requests_jitter = 500
timeout = 30
graceful_timeout = 15
keepalive = 5
# A heartbeat file on a slow disk makes the arbiter kill healthy workers.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, and gunicorn unlinks the file
control_socket_disable = True

# Whom to believe about X-Forwarded-* is the portal's decision alone (TRUSTED_PROXIES).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}

accesslog = "-"
errorlog = "-"
logging.captureWarnings(True)


class PortalLogger(Logger):  # type: ignore[misc]  # gunicorn comes without types
    """Gunicorn's lines, startup included, look like the portal's own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter(settings.LOG_FORMAT))
            handler.addFilter(Redact())

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """No query string, no referrer: who looked for whom is nobody's business."""
        atoms = self.atoms(resp, req, environ, request_time)
        fields = {
            "address": atoms["h"],
            "method": atoms["m"],
            "path": redacted(atoms["U"] or ""),
            "status": int(atoms["s"]),
            "bytes": atoms["B"] or 0,
            "milliseconds": atoms["M"],
        }
        self.access_log.info(
            '%(address)s "%(method)s %(path)s" %(status)s %(bytes)s %(milliseconds)sms',
            fields,
            extra={"access": fields, "request_id": atoms.get("{x-request-id}o", "")},
        )


logger_class = PortalLogger


def on_starting(_server: Any) -> None:
    """The processes count in files that all of them can add up, for ``/metrics``."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=f"portal-metrics-{os.getpid()}-")


def pre_fork(server: Any, worker: Any) -> None:
    """A seat: the lowest number that no living worker has."""
    taken = {living.seat for living in server.WORKERS.values()}
    worker.seat = next(seat for seat in itertools.count() if seat not in taken)


def post_fork(_server: Any, worker: Any) -> None:
    """Whoever takes a dead worker's seat goes on with its counts: none is lost, and the files stay as many as seats."""
    values.ValueClass = values.MultiProcessValue(lambda: worker.seat)  # type: ignore[no-untyped-call]


def when_ready(_server: Any) -> None:
    """What is alive before the fork is never collected, so the workers go on sharing its memory."""
    gc.collect()
    gc.freeze()


def on_exit(_server: Any) -> None:
    shutil.rmtree(os.environ.pop("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
