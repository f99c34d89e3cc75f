"""What people may ask for, what they asked, and what came of it."""

from .catalogue import (
    Cargo,
    CatalogueChange,
    ExternalSystem,
    ReasonTemplate,
    SystemNotice,
    UserType,
)
from .desk import LARGEST_FILE, MOST_AT_ONCE, MOST_FILES, Attachment, Batch, BatchOutcome, Holiday
from .grants import LIVE_GRANT, NOT_DELIVERED, AccessGrant, GrantEvent, GrantStatus, TypedCredential
from .requests import (
    ALREADY_ASKED,
    DECIDED,
    NOT_YOUR_OWN,
    OPEN,
    WAITING,
    AccessRequest,
    AccessRequestQuerySet,
    InternalNote,
    ProtocolCounter,
    RequestEvent,
    Status,
)

__all__ = [
    "ALREADY_ASKED",
    "DECIDED",
    "LARGEST_FILE",
    "LIVE_GRANT",
    "MOST_AT_ONCE",
    "MOST_FILES",
    "NOT_DELIVERED",
    "NOT_YOUR_OWN",
    "OPEN",
    "WAITING",
    "AccessGrant",
    "AccessRequest",
    "AccessRequestQuerySet",
    "Attachment",
    "Batch",
    "BatchOutcome",
    "Cargo",
    "CatalogueChange",
    "ExternalSystem",
    "GrantEvent",
    "GrantStatus",
    "Holiday",
    "InternalNote",
    "ProtocolCounter",
    "ReasonTemplate",
    "RequestEvent",
    "Status",
    "SystemNotice",
    "TypedCredential",
    "UserType",
]
