"""Why nothing was applied. Each carries a sentence that the personnel staff understand."""

from __future__ import annotations


class DirectoryError(Exception):
    """Nothing was applied."""


class DirectoryFileError(DirectoryError):
    """The file as a whole cannot be used."""


class ReportError(DirectoryError):
    """The list of refused and repaired lines cannot be written."""


class TooManyDeparturesError(DirectoryError):
    """The plan would end more bonds than usual; somebody has to say that this is meant."""


class DirectoryChangedError(DirectoryError):
    """Somebody else changed the directory between the plan and its application."""


class DirectoryBusyError(DirectoryError):
    """Another import is being applied."""
