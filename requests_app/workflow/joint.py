"""Requests for several people, filed together: all of them or none."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Sequence

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.models import Employment, Unit, User

from .. import joint_mails
from ..models import ALREADY_ASKED, AccessRequest, JointFiling, RequestEvent, Status, UserType
from . import asking, moves
from .rules import ONLY_WITH_A_BOND, MoveRefusedError, has_left


class JointRefusedError(MoveRefusedError):
    """One of the requests cannot be filed, and so none was; the message says which and why."""

    def __init__(self, bond: Employment, refusal: MoveRefusedError) -> None:
        super().__init__(f"{bond.user.display_name}, matrícula {bond.matricula}: {refusal}")
        self.bond = bond


@transaction.atomic
def file_all(
    people: Sequence[tuple[Employment, Unit | None]],
    *,
    nonce: uuid.UUID,
    requester: User,
    user_type: UserType,
    description: str,
    email: str,
    phone: str,
) -> tuple[JointFiling, bool]:
    """Number and store one request for each of ``people``, in their order, and owe the one mail that tells of them all.

    ``people``: bonds, each with the unit where the access would hold. The same form (``nonce``) sent again gives back
    what it made before, and False. Raises JointRefusedError if one of them cannot be filed (``moves.file``), and
    MoveRefusedError if the requester may file none; nothing is stored then.

    Deadlocks: the row of the form, the system, the counter of protocols; who files alone takes them in this order too,
    and whoever holds the counter waits for nobody.
    """
    joint, is_new = JointFiling.objects.get_or_create(nonce=nonce, defaults={"requester": requester})
    if not is_new:
        return joint, False
    if has_left(requester):
        raise MoveRefusedError(ONLY_WITH_A_BOND)
    model = asking.new_request(
        form_nonce=uuid.uuid4(),
        requester=requester,
        bond=people[0][0],
        user_type=user_type,
        description=description,
        email=email,
        phone=phone,
    )
    model.joint = joint
    filed = [_like(model, bond, unit) for bond, unit in people]
    _store(filed)
    RequestEvent.objects.bulk_create(
        RequestEvent(request=request, to_status=Status.PENDING, actor=requester, at=request.created_at)
        for request in filed
    )
    outbox.owe(joint_mails.JOINT_RECEIVED, recipient=requester.pk, about=joint.pk)
    return joint, True


def _like(model: AccessRequest, bond: Employment, unit: Unit | None) -> AccessRequest:
    """One more unsaved request that is like the model, but for whom and where."""
    request = copy.copy(model)
    request.form_nonce = uuid.uuid4()
    request.unit = unit
    for name, value in asking.snapshot(bond).items():
        setattr(request, name, value)
    return request


def _store(requests: Sequence[AccessRequest]) -> None:
    """Check, number and save all of them. The counter, for which everybody waits, is held as short as can be."""
    if requests[0].system.most_per_unit is not None:  # each takes a place before the next one is looked at
        _one_by_one(moves.store, requests)
        return
    _one_by_one(moves.refuse_if_impossible, requests)
    try:
        with transaction.atomic():
            for request, protocol in zip(requests, moves.next_protocols(len(requests)), strict=True):
                request.protocol = protocol
            AccessRequest.objects.bulk_create(requests)
    except IntegrityError:  # somebody was quicker
        _one_by_one(moves.refuse_if_impossible, requests)  # which says who
        raise MoveRefusedError(ALREADY_ASKED) from None


def _one_by_one(step: Callable[[AccessRequest], None], requests: Iterable[AccessRequest]) -> None:
    for request in requests:
        try:
            step(request)
        except MoveRefusedError as refusal:
            raise JointRefusedError(request.employment, refusal) from None
