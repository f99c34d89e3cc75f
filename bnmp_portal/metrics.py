"""What Prometheus reads at ``/metrics``: what this machine served, and what the database knows of them all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

from django.db import Error
from django.db.models import Count, Max, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from accounts.http import GetResponse
from accounts.models import MailStatus, OutgoingMail, SecurityEvent
from requests_app.models import DECIDED, RequestEvent, Status

from .health import for_monitors, read_mails, read_sweep

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

disable_created_metrics()  # type: ignore[no-untyped-call]
REQUESTS = Counter("portal_http_requests", "Requests answered.", ("method", "view", "status"), registry=None)
DURATION = Histogram(
    "portal_http_request_duration_seconds",
    "Time from the first middleware to the answer.",
    ("method", "view"),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=None,
)
#: A method can be any word; what strangers choose must not become a series.
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

#: What an analyst may answer.
DECISIONS = (*DECIDED, Status.RETURNED)
#: The newest rows that are searched for those of the last hour, where no index tells the time. No hour has as many.
LOOK_BACK = 10_000


class MetricsMiddleware:
    """Counts and times each request by the name of its view, never by what was typed into the address."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self.get_response(request)
        method = request.method if request.method in METHODS else "other"
        view = request.resolver_match.view_name if request.resolver_match else "-"
        DURATION.labels(method, view).observe(time.perf_counter() - began)
        REQUESTS.labels(method, view, str(response.status_code)).inc()
        return response


def gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"portal_{name}", what, value=value)


def gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"portal_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def newest(rows: QuerySet[Row]) -> QuerySet[Row]:
    last = rows.order_by().aggregate(last=Max("pk"))["last"] or 0
    return rows.filter(pk__gt=max(last - LOOK_BACK, 0))


def count_by(rows: QuerySet[Row], column: str, keys: Iterable[str]) -> dict[str, float]:
    """How many rows have each key; zero is said too."""
    counted = dict(rows.order_by().values_list(column).annotate(rows=Count("pk")))
    return {key: counted.get(key, 0) for key in map(str, keys)}


def from_the_database() -> Iterator[Metric]:
    """Numbers that are the same on every machine. Each query is bounded by an index, however old the portal gets."""
    mails, sweep, hour_ago = read_mails(), read_sweep(), timezone.now() - timedelta(hours=1)
    owed = {"due": mails.due, "waiting": mails.waiting, "failed": mails.failed}
    yield gauges("outbox_mails", "Mails that wait or were given up.", "state", owed)
    yield gauge("outbox_oldest_due_seconds", "How long the oldest mail has been due.", mails.oldest_due_seconds or 0)
    sent = newest(OutgoingMail.objects.all()).filter(status=MailStatus.SENT, sent_at__gte=hour_ago).count()
    yield gauge("outbox_sent_last_hour", "Mails that the server took in the last hour.", sent)
    if sweep is not None:
        yield gauge("sweep_age_seconds", "Time since a worker last swept the outbox.", sweep)
    moved = newest(RequestEvent.objects.all()).filter(at__gte=hour_ago, actor__isnull=False)
    yield gauges(
        "decisions_last_hour",
        "What analysts decided in the last hour.",
        "status",
        count_by(moved, "to_status", DECISIONS),
    )
    happened = SecurityEvent.objects.filter(at__gte=hour_ago)
    yield gauges(
        "security_events_last_hour",
        "Sign-ins, refused sign-ins, resets and the like in the last hour.",
        "kind",
        count_by(happened, "kind", SecurityEvent.Kind.values),
    )


class DatabaseCollector(Collector):
    """A database that is away takes its own numbers with it and no others."""

    def collect(self) -> Iterator[Metric]:
        try:
            read = list(from_the_database())
        except Error:
            logger.exception("The database does not answer.")
            yield gauge("database_up", "Whether the database answers.", 0)
        else:
            yield gauge("database_up", "Whether the database answers.", 1)
            yield from read


@for_monitors
def metrics(_request: HttpRequest) -> HttpResponse:
    """All processes of this web server (``deploy/gunicorn.conf.py``), or this process alone under any other server."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REQUESTS)
        registry.register(DURATION)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
