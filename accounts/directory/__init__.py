"""The people that the HR file names: read the file, plan what it changes, apply it whole or not at all."""

from .errors import DirectoryChangedError, DirectoryError, DirectoryFileError, TooManyDeparturesError
from .planning import Plan, apply, check_departures, plan
from .reading import MAX_BYTES, Reading, read
from .rows import Reason, Refused, Row, is_of_a_unit

__all__ = [
    "MAX_BYTES",
    "DirectoryChangedError",
    "DirectoryError",
    "DirectoryFileError",
    "Plan",
    "Reading",
    "Reason",
    "Refused",
    "Row",
    "TooManyDeparturesError",
    "apply",
    "check_departures",
    "is_of_a_unit",
    "plan",
    "read",
]
