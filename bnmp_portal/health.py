"""Whether the portal lives, and whether it can serve: for load balancers and ``make run``."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import history

logger = logging.getLogger(__name__)


@login_not_required
@require_safe
@never_cache
def health_live(_request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
@never_cache
def health_ready(_request: HttpRequest) -> JsonResponse:
    """200 if the database answers and guards its history, else 503.

    The broker is no condition: mail waits in the outbox without it.
    """
    try:
        missing = history.missing_triggers(connection)
    except Error:
        logger.exception("The database does not answer.")
        return JsonResponse({"status": "unavailable"}, status=503, headers={"Retry-After": "5"})
    if missing:
        logger.error("History is not guarded, run migrate: %s", ", ".join(missing))
        return JsonResponse({"status": "history is not guarded"}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})
