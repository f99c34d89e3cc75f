"""What an import changes: how many of each, and what somebody has to know one by one."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, fields
from hashlib import blake2b, sha256
from typing import NamedTuple

from accounts.masking import masked_address

from . import effects
from .reading import Reading
from .rows import Row

#: A plan that ends more than this share of the bonds, and more than a few, is probably made from half a file.
USUAL_SHARE = 0.05
A_FEW = 5
#: So many of each kind are told one by one; of the rest, only how many.
SHOWN = 50


class Told(NamedTuple):
    """A line that is told one by one."""

    line: int
    matricula: str
    about: str = ""


@dataclass
class Listing:
    """How many there are, and the first of them."""

    count: int = 0
    first: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(told)


@dataclass
class Plan:
    """What applying the file would do, or what it did."""

    reading: Reading = field(compare=False, repr=False)
    #: Lines that can be used.
    lines: int = 0
    refused: int = 0
    #: Lines taken although their CPF had lost its leading zeros.
    repaired: int = 0
    new_units: int = 0
    changed_units: int = 0
    new_people: int = 0
    changed_people: int = 0
    unchanged_people: int = 0
    new_bonds: int = 0
    changed_bonds: int = 0
    unchanged_bonds: int = 0
    #: Open bonds that the file no longer names; they end today.
    left_bonds: int = 0
    #: People who get the CPF that the file gives their matrícula.
    corrected_cpfs: Listing = field(default_factory=Listing)
    #: People whose address changes; the one before is told of it.
    changed_addresses: Listing = field(default_factory=Listing)
    #: Lines whose address differs from one that was corrected by hand; that one stays.
    kept_addresses: Listing = field(default_factory=Listing)
    #: Open bonds before, and how many of them end by this plan, named in the file or not.
    open_bonds: int = 0
    ending: int = 0
    #: Keys of bonds that are over by it; and of those that move, with the unit before.
    over: array[int] = field(default_factory=lambda: array("q"))
    transferred: dict[int, int] = field(default_factory=dict)
    #: Keys of people to whom it brings another bond; asked for before it is applied.
    staying: set[int] = field(default_factory=set, compare=False)
    #: Of all that it changes, in its order: two plans with the same one change the same.
    mark: bytes = b""

    @property
    def usual_departures(self) -> int:
        """How many bonds may end without anybody saying that it is meant."""
        return max(A_FEW, int(self.open_bonds * USUAL_SHARE))

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, the same for equal plans."""
        compared = [getattr(self, each.name) for each in fields(self) if each.compare]
        return sha256(repr(compared).encode()).hexdigest()

    @property
    def moved(self) -> effects.Moved:
        """What follows is drawn from."""
        return effects.Moved(self.over, self.transferred)

    def consequences(self) -> dict[str, int]:
        """What applying would entail beside the directory itself (label -> how many). Before it is applied."""
        return effects.forecast(self.moved, staying=self.staying)

    def note(self, what: str, *about: object) -> None:
        """Take a change into the mark."""
        self.mark = blake2b(f"{what} {about}".encode(), key=self.mark, digest_size=16).digest()

    def note_changed_address(self, row: Row, old: str) -> None:
        before, after = (masked_address(address) or "sem e-mail" for address in (old, row.email))
        self.changed_addresses.add(Told(row.line, row.matricula, f"{before} → {after}"))
        self.note("address", row.line, old)

    def note_kept_address(self, row: Row) -> None:
        self.kept_addresses.add(Told(row.line, row.matricula))
        self.note("kept", row.line)
