"""The mail that tells of requests for several people, in the place of one for each."""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from accounts import outbox
from accounts.emails import compose
from accounts.models import OutgoingMail

from .models import AccessRequest, JointFiling

JOINT_RECEIVED = "joint_received"


def received(mail: OutgoingMail) -> EmailMultiAlternatives:
    """Tell the requester of all protocols at once, at the address that they gave."""
    joint = JointFiling.objects.select_related("requester").get(pk=mail.object_id)
    requests = list(joint.requests.order_by("pk").select_related("beneficiary", "user_type__system", "unit"))
    context = {
        "person": joint.requester,
        "requests": requests,
        "first": requests[0],
        "link": settings.PORTAL_URL + reverse("joint-detail", args=[joint.pk]),
    }
    return compose(JOINT_RECEIVED, to=requests[0].requester_email, context=context)


def subjects(joint_ids: Collection[int]) -> dict[int, outbox.Subject]:
    """What these mails are about, for the staff."""
    found = AccessRequest.objects.filter(joint__in=joint_ids).order_by("-pk")
    first = {
        joint: (protocol, email) for joint, protocol, email in found.values_list("joint", "protocol", "requester_email")
    }
    changelist = reverse("admin:requests_app_accessrequest_changelist")
    return {
        joint: outbox.Subject(f"{protocol} e outras", f"{changelist}?situacao=todas&conjunto={joint}", email)
        for joint, (protocol, email) in first.items()
    }


def register() -> None:
    """Called once, by ``RequestsConfig.ready``."""
    outbox.register(
        JOINT_RECEIVED, outbox.Kind("Pedidos para várias pessoas recebidos", build=received, subjects=subjects)
    )
