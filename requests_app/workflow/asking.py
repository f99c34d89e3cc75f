"""A request as the form makes it, before it is filed."""

from __future__ import annotations

import uuid

from accounts.models import Employment, Unit, User

from ..models import AccessRequest, UserType


def asks_the_same(one: AccessRequest, other: AccessRequest) -> bool:
    """Whether two requests were filled in alike."""
    fields = ("employment_id", "user_type_id", "unit_id", "description", "requester_email", "requester_phone")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def new_request(
    *,
    form_nonce: uuid.UUID,
    requester: User,
    bond: Employment,
    user_type: UserType,
    description: str,
    email: str,
    phone: str,
    unit: Unit | None = None,
) -> AccessRequest:
    """An unsaved request, with names, cargos and units as they stand now. ``unit``: where the access holds."""
    own = Employment.objects.main_of(requester)
    return AccessRequest(
        form_nonce=form_nonce,
        requester=requester,
        requester_name=requester.display_name,
        requester_cargo=own.cargo if own else "",
        requester_lotacao=str(own.unit) if own else "",
        requester_email=email,
        requester_phone=phone,
        user_type=user_type,
        unit=unit,
        description=description,
        **snapshot(bond),
    )


def snapshot(bond: Employment) -> dict[str, object]:
    """What a request keeps of the beneficiary's bond."""
    return {
        "beneficiary": bond.user,
        "employment": bond,
        "beneficiary_name": bond.user.display_name,
        "beneficiary_matricula": bond.matricula,
        "beneficiary_cargo": bond.cargo,
        "beneficiary_lotacao": str(bond.unit),
    }
