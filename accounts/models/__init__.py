"""People and their bonds, how they enter, and the post they are sent."""

from __future__ import annotations

from .doors import PasswordResetRequest, ProvisionalPassword, SpentChallenge, ThrottleCount
from .mails import Heartbeat, MailStatus, OutgoingMail
from .people import AddressChange, Employment, EmploymentQuerySet, HelpDesk, Unit, User, UserManager
from .records import SecurityEvent

__all__ = [
    "AddressChange",
    "Employment",
    "EmploymentQuerySet",
    "Heartbeat",
    "HelpDesk",
    "MailStatus",
    "OutgoingMail",
    "PasswordResetRequest",
    "ProvisionalPassword",
    "SecurityEvent",
    "SpentChallenge",
    "ThrottleCount",
    "Unit",
    "User",
    "UserManager",
]
