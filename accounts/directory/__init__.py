"""The people that the HR file names: read the file, plan what it changes, apply it whole or not at all."""

from .errors import (
    DirectoryBusyError,
    DirectoryChangedError,
    DirectoryError,
    DirectoryFileError,
    ReportError,
    TooManyDeparturesError,
)
from .line_report import LineReport
from .mailboxes import is_of_a_unit, is_of_somebody_else
from .planning import apply, check_departures, plan
from .plans import SHOWN, Listing, Plan
from .progress import Progress
from .reading import Reading, read
from .rows import Reason, Refused, Row
from .telling import Section, awaiting, sections, sentences
from .text import LARGEST_FILE, MAX_BYTES, SEPARATORS

__all__ = [
    "LARGEST_FILE",
    "MAX_BYTES",
    "SEPARATORS",
    "SHOWN",
    "DirectoryBusyError",
    "DirectoryChangedError",
    "DirectoryError",
    "DirectoryFileError",
    "LineReport",
    "Listing",
    "Plan",
    "Progress",
    "Reading",
    "Reason",
    "Refused",
    "ReportError",
    "Row",
    "Section",
    "TooManyDeparturesError",
    "apply",
    "awaiting",
    "check_departures",
    "is_of_a_unit",
    "is_of_somebody_else",
    "plan",
    "read",
    "sections",
    "sentences",
]
