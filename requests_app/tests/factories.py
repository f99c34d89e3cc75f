"""The catalogue, requests in any status, and people in every role."""

from __future__ import annotations

import uuid
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import Employment, Unit, User
from accounts.tests.factories import EmploymentFactory, UserFactory
from requests_app.models import (
    DECIDED,
    AccessGrant,
    AccessRequest,
    Cargo,
    ExternalSystem,
    GrantEvent,
    GrantStatus,
    Status,
    UserType,
)
from requests_app.workflow import new_request, next_protocol


def analyst(**fields: Any) -> User:
    """Somebody of the Coordenadoria, who decides."""
    user = UserFactory(is_staff=True, **fields)
    user.groups.add(Group.objects.get(name="Análise"))
    return user


def manager() -> User:
    """Somebody of Gestão, who sees requests and may not decide them."""
    user = UserFactory(is_staff=True)
    user.groups.add(Group.objects.get(name="Gestão"))
    return user


def superuser() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


def head_of(unit: Unit, **fields: Any) -> User:
    """Somebody who heads this unit."""
    cargo, _is_new = Cargo.objects.update_or_create(name="Chefe de Cartório", defaults={"heads_unit": True})
    return EmploymentFactory(unit=unit, cargo=cargo.name.upper(), **fields).user


def grant_of(bond: Employment, **fields: Any) -> AccessGrant:
    """An access of this person, older than the portal, with the beginning of its history."""
    status = fields.pop("status", GrantStatus.ACTIVE)
    user_type = fields.pop("user_type", None) or UserTypeFactory()
    grant = AccessGrant.objects.create(user=bond.user, user_type=user_type, status=status, **fields)
    GrantEvent.objects.create(grant=grant, to_status=GrantStatus.ACTIVE, note="Acesso anterior ao portal")
    return grant


class ExternalSystemFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ExternalSystem

    name = factory.Sequence(lambda number: f"Sistema {number}")
    credential = ExternalSystem.Credential.PORTAL


class UserTypeFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = UserType

    system = factory.SubFactory(ExternalSystemFactory)
    name = factory.Sequence(lambda number: f"Perfil {number}")


def unsaved_request(**fields: Any) -> AccessRequest:
    """A request as the form makes it. Takes ``requester``, ``bond``, ``user_type`` and what ``new_request`` takes."""
    requester = fields.pop("requester", None) or EmploymentFactory().user
    values = {
        "form_nonce": uuid.uuid4(),
        "bond": fields.pop("bond", None) or EmploymentFactory(user__password=make_password(None)),
        "user_type": fields.pop("user_type", None) or UserTypeFactory(),
        "description": "Consulta de mandados no atendimento.",
        "email": requester.email,
        "phone": requester.phone,
        **fields,
    }
    return new_request(requester=requester, **values)


def request_in(status: Status, **fields: Any) -> AccessRequest:
    """A stored request in this status, without the history that would have led there."""
    request = unsaved_request(**fields)
    request.protocol = next_protocol()
    request.status = status
    if status == Status.IN_REVIEW:
        request.holder = analyst()
    if status == Status.RETURNED:
        request.correct_by = timezone.localdate()
    if status in DECIDED:
        request.decided_by, request.decided_at = analyst(), timezone.now()
    request.save()
    return request
