"""People and their bonds, how they enter, and the post they are sent."""

from __future__ import annotations

from .doors import (
    Authenticator,
    FactorRemoval,
    PasswordResetRequest,
    ProvisionalPassword,
    RecoveryCode,
    Session,
    SpentChallenge,
    ThrottleCount,
)
from .imports import DirectoryImport
from .mails import Heartbeat, MailStatus, OutgoingMail
from .people import AddressChange, Employment, EmploymentQuerySet, HelpDesk, Unit, User, UserManager
from .records import SecurityEvent, Term, TermAcceptance

__all__ = [
    "AddressChange",
    "Authenticator",
    "DirectoryImport",
    "Employment",
    "EmploymentQuerySet",
    "FactorRemoval",
    "Heartbeat",
    "HelpDesk",
    "MailStatus",
    "OutgoingMail",
    "PasswordResetRequest",
    "ProvisionalPassword",
    "RecoveryCode",
    "SecurityEvent",
    "Session",
    "SpentChallenge",
    "Term",
    "TermAcceptance",
    "ThrottleCount",
    "Unit",
    "User",
    "UserManager",
]
