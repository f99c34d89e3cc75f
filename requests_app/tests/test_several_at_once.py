"""Several forms for several people at the same moment: real threads, real connections, real commits."""

from __future__ import annotations

import uuid

import pytest

from accounts.models import OutgoingMail
from accounts.tests.factories import EmploymentFactory
from requests_app import workflow
from requests_app.models import AccessRequest, JointFiling, RequestEvent

from .factories import UserTypeFactory, unsaved_request
from .test_concurrency import at_once, browser_of, signed_in  # noqa: F401 - fixtures
from .test_several import SEVERAL, check, posted_by

pytestmark = pytest.mark.django_db(transaction=True)


def filing(requester, bonds, user_type, nonce=None):
    return workflow.file_all(
        [(bond, None) for bond in bonds],
        nonce=nonce or uuid.uuid4(),
        requester=requester,
        user_type=user_type,
        description="Plantão.",
        email=requester.email,
        phone=requester.phone,
    )


def test_fault_17_eight_posts_of_one_list_at_once_make_one_filing_and_all_lead_to_it(signed_in, browser_of):  # noqa: F811
    client = signed_in(EmploymentFactory().user)
    bonds = [EmploymentFactory() for _ in range(3)]
    posted = posted_by(check(client, UserTypeFactory(), [bond.matricula for bond in bonds]), "enviar")

    windows = [browser_of(client) for _ in range(8)]
    responses = at_once(*(lambda window=window: window.post(SEVERAL, posted) for window in windows))

    joint = JointFiling.objects.get()
    assert [(one.status_code, one.get("Location")) for one in responses] == [(302, f"{SEVERAL}{joint.pk}/")] * 8
    assert AccessRequest.objects.filter(joint=joint).count() == AccessRequest.objects.count() == 3
    assert RequestEvent.objects.count() == 3
    assert OutgoingMail.objects.count() == 1


@pytest.mark.parametrize("most_per_unit", [None, 5])
def test_lists_in_opposite_order_and_single_requests_wait_for_one_another_and_one_has_each_person(most_per_unit):
    user_type = UserTypeFactory(system__most_per_unit=most_per_unit)
    bonds = [EmploymentFactory() for _ in range(12)]
    requesters = [EmploymentFactory().user for _ in range(4)]

    def tried(step):
        def run():
            try:
                step()
            except workflow.MoveRefusedError as refusal:
                return str(refusal)
            return ""

        return run

    told = at_once(
        tried(lambda: filing(requesters[0], bonds, user_type)),
        tried(lambda: filing(requesters[1], bonds[::-1], user_type)),
        tried(lambda: workflow.file(unsaved_request(requester=requesters[2], bond=bonds[0], user_type=user_type))),
        tried(lambda: workflow.file(unsaved_request(requester=requesters[3], bond=bonds[11], user_type=user_type))),
    )

    assert {one for one in told if one and "Já existe um pedido em andamento" not in one} == set()
    filed = AccessRequest.objects.values_list("employment", flat=True)
    assert len(filed) == len(set(filed))
    by_list = AccessRequest.objects.exclude(joint=None).count()
    assert by_list in {0, 12}
    assert JointFiling.objects.count() == (1 if by_list else 0)
    assert told.count("") == (1 if by_list else 2)
    numbers = sorted(int(protocol[-6:]) for protocol in AccessRequest.objects.values_list("protocol", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
