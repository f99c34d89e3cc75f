"""Everybody and everything that the drill needs beforehand: ``python -m bnmp_portal.tests.drill.people 500 200``.

Analysts, people with a password of their own who will forget it, and requests that wait for a decision, for people who
never had a password; one in eleven of these asks for two systems, so that two approvals share a password.
"""

from __future__ import annotations

import os
import sys
import uuid
from datetime import date

import django
from django.contrib.auth.hashers import make_password

PASSWORD = "jabuticaba no quintal azul"
ANALYSTS = 8
REQUESTERS = 10
#: Whose mailbox does not exist, where the fault says so.
UNKNOWN = "beneficiaria.0@tjms.jus.br"


def people(role: str, first: int, count: int, encoded: str) -> list:
    """Stored people, ``role.N@tjms.jus.br``, each with a bond."""
    from accounts.models import Employment, Unit, User
    from accounts.tests.factories import cpf_of

    users = [
        User(
            cpf=cpf_of(first + number),
            name=f"{role.upper()} NÚMERO {number} DE SOUZA",
            email=f"{role}.{number}@tjms.jus.br",
            password=encoded,
        )
        for number in range(count)
    ]
    for user in users:
        user.search_name = user.folded_names()
    User.objects.bulk_create(users)
    unit, _made = Unit.objects.get_or_create(code="0001-001", name="1ª Vara Criminal", comarca="Campo Grande")
    Employment.objects.bulk_create(
        Employment(user=user, matricula=user.cpf[:9], cargo="Analista", unit=unit, started_on=date(2015, 2, 2))
        for user in users
    )
    return users


def requests(count: int, requesters: list) -> None:
    """``count`` pending requests, each with the first line of its history."""
    from accounts.models import Employment
    from requests_app import workflow
    from requests_app.models import AccessRequest, ExternalSystem, RequestEvent, Status, UserType

    user_types = [
        UserType.objects.create(system=ExternalSystem.objects.create(name=name, credential="PORTAL"), name="Consulta")
        for name in ("BNMP", "SEEU")
    ]
    beneficiaries = people("beneficiaria", 10_000, count - count // 11, make_password(None))
    # From the end: the person whose mailbox does not exist asks for one thing only.
    asked = [(beneficiary, 0) for beneficiary in beneficiaries]
    asked += [(beneficiary, 1) for beneficiary in beneficiaries[::-1][: count // 11]]
    bonds = {bond.user_id: bond for bond in Employment.objects.select_related("user", "unit")}
    filed = []
    for number, (beneficiary, which) in enumerate(asked):
        requester = requesters[number % len(requesters)]
        request = workflow.new_request(
            form_nonce=uuid.uuid4(),
            requester=requester,
            bond=bonds[beneficiary.pk],
            user_type=user_types[which],
            description="Consulta de mandados no atendimento.",
            email=requester.email,
            phone="(67) 3314-0000",
        )
        request.protocol = workflow.next_protocol()
        filed.append(request)
    AccessRequest.objects.bulk_create(filed)
    RequestEvent.objects.bulk_create(
        RequestEvent(request=request, to_status=Status.PENDING, actor=request.requester) for request in filed
    )


def populate(approvals: int, resets: int) -> None:
    from django.contrib.auth.models import Group

    chosen = make_password(PASSWORD)
    analysts = people("analista", 0, ANALYSTS, chosen)
    for user in analysts:
        user.is_staff = True
        user.save()
        user.groups.add(Group.objects.get(name="Análise"))
    people("esquecida", 1_000, resets, chosen)
    requests(approvals, people("solicitante", 500, REQUESTERS, chosen))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bnmp_portal.settings")
    django.setup()
    populate(int(sys.argv[1]), int(sys.argv[2]))
