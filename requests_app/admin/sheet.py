"""What the desk knows of the person whom a request is for."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import Employment, User
from accounts.search import namesakes_of

from ..models import OPEN, AccessGrant, AccessRequest, RequestEvent, Status
from ..workflow import NEEDS_REASON

#: So many other requests stand on the page; the rest is one click away.
MOST_REQUESTS = 10
#: And so many then. Nobody has more.
ALL_REQUESTS = 500
#: Where the reason says more than the status.
SAYS_WHY = (Status.RETURNED, Status.REJECTED, Status.EXPIRED)


@dataclass(frozen=True)
class Earlier:
    """Another request for the same person, and why it was returned or refused."""

    request: AccessRequest
    reason: str


@dataclass(frozen=True)
class Sheet:
    """Bonds, accesses and requests of one person, and who has the same name."""

    bonds: list[Employment]
    ended_bonds: list[Employment]
    grants: list[AccessGrant]
    #: What this request gave, whatever became of it.
    given: AccessGrant | None
    #: Those that go on first, then the newest.
    requests: list[Earlier]
    has_more: bool
    namesakes: list[User]


def of(request: AccessRequest, *, all_requests: bool = False) -> Sheet:
    """What stands beside a request about its beneficiary; always the same number of queries."""
    person, today = request.beneficiary, timezone.localdate()
    bonds = list(person.employments.select_related("unit", "sponsor").order_by("started_on", "pk"))
    ended = [bond for bond in bonds if bond.ended_on and bond.ended_on < today]
    most = ALL_REQUESTS if all_requests else MOST_REQUESTS
    requests = _others(request, most + 1)
    return Sheet(
        bonds=[bond for bond in bonds if bond not in ended],
        ended_bonds=ended,
        grants=list(person.grants.live().select_related("user_type__system", "unit")),
        given=AccessGrant.objects.filter(request=request).first(),
        requests=requests[:most],
        has_more=len(requests) > most,
        namesakes=namesakes_of(person),
    )


def _others(request: AccessRequest, most: int) -> list[Earlier]:
    told = RequestEvent.objects.filter(request=OuterRef("pk"), to_status__in=NEEDS_REASON).order_by("-pk")
    others = AccessRequest.objects.filter(beneficiary=request.beneficiary_id).exclude(pk=request.pk)
    others = others.select_related("user_type__system", "unit").annotate(
        goes_on=Q(status__in=OPEN), told=Subquery(told.values("note")[:1])
    )
    found = others.order_by("-goes_on", "-pk")[:most]
    return [Earlier(one, vars(one)["told"] or "" if one.status in SAYS_WHY else "") for one in found]
