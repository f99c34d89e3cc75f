"""What people may ask for, what they asked, and what came of it."""

from .catalogue import ExternalSystem, SystemNotice, UserType
from .grants import LIVE_GRANT, AccessGrant, GrantEvent, GrantStatus, TypedCredential
from .requests import (
    ALREADY_ASKED,
    DECIDED,
    NOT_YOUR_OWN,
    OPEN,
    WAITING,
    AccessRequest,
    ProtocolCounter,
    RequestEvent,
    Status,
)

__all__ = [
    "ALREADY_ASKED",
    "DECIDED",
    "LIVE_GRANT",
    "NOT_YOUR_OWN",
    "OPEN",
    "WAITING",
    "AccessGrant",
    "AccessRequest",
    "ExternalSystem",
    "GrantEvent",
    "GrantStatus",
    "ProtocolCounter",
    "RequestEvent",
    "Status",
    "SystemNotice",
    "TypedCredential",
    "UserType",
]
