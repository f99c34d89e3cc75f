"""Gunicorn: how many processes, and an access log in which no secret and no search term stands."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from bnmp_portal.logs import Redact

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
# No query string, no referrer: who looked for whom is nobody's business.
access_log_format = '%(t)s %(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms %(p)s'


class RedactingLogger(Logger):  # type: ignore[misc]  # gunicorn comes without types
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for present in [present for present in log.filters if isinstance(present, Redact)]:
                log.removeFilter(present)
            log.addFilter(Redact())


logger_class = RedactingLogger


def when_ready(_server: Any) -> None:
    """What is alive before the fork is never collected, so the workers go on sharing its memory."""
    gc.collect()
    gc.freeze()
