"""The file beside the directory, batch by batch: what is new, what differs, who is missing; counted, or written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from django.contrib.auth.hashers import make_password
from django.db import models
from django.db.models import F, Q

from accounts import addresses, names
from accounts.models import Employment, EmploymentQuerySet, Unit, User

from . import corrections
from .corrections import CHANGED
from .errors import DirectoryChangedError
from .plans import Plan
from .progress import Progress
from .rows import Row
from .store import BATCH, Store

PERSON_FIELDS = ("name", "social_name", "email", "phone")
BOND_FIELDS = ("cargo", "staff_kind", "started_on", "ended_on")
UNIT_FIELDS = ("name", "comarca", "email")
#: What stays as it is where the file says nothing.
KEPT_IF_BLANK = {"social_name", "email", "phone", "staff_kind", "comarca"}


class Person(NamedTuple):
    """Somebody of the file."""

    #: What their lines say together.
    said: Row
    lines: list[Row]
    #: Who that is in the directory; None for somebody new.
    key: int | None


@dataclass
class Comparison:
    """One walk through file and directory. With ``writing`` it makes what it finds, in the caller's transaction."""

    store: Store
    plan: Plan
    writing: bool
    today: date
    progress: Progress

    def walk(self) -> None:
        """Raises DirectoryChangedError if the lines were checked against another directory."""
        self.plan.open_bonds = open_bonds(self.today).count()
        corrections.note(self.store, self.plan)
        if self.writing:
            corrections.apply(self.store)
        self._units()
        done = 0
        for batch in self.store.people():
            self._bonds(self._people(batch))
            done += len(batch)
            self.progress(done)
        self._departures()

    # --- Units -------------------------------------------------------------------------------------------------------
    def _units(self) -> None:
        for batch in self.store.batches("SELECT code, name, comarca, email FROM unit ORDER BY code"):
            known = Unit.objects.in_bulk([code for code, *_more in batch], field_name="code")
            new, changed = [], []
            for code, *values in batch:
                said = dict(zip(UNIT_FIELDS, values, strict=True))
                if code not in known:
                    new.append(Unit(code=code, **said))
                elif _set(known[code], _differing(said, known[code].__dict__)):
                    changed.append(known[code])
            self.plan.new_units += len(new)
            self.plan.changed_units += len(changed)
            self.plan.note("units", [unit.code for unit in new], [unit.code for unit in changed])
            if self.writing:
                Unit.objects.bulk_create(new)
                Unit.objects.bulk_update(changed, UNIT_FIELDS)

    # --- People ------------------------------------------------------------------------------------------------------
    def _people(self, batch: list[list[Row]]) -> list[Person]:
        """Who they are, and what the file says anew of them."""
        said = {lines[0].cpf: _together(lines) for lines in batch}
        # In a plan, whoever gets another CPF still has the one before.
        before = {} if self.writing else corrections.before(self.store, said)
        found = User.objects.filter(cpf__in=[before.get(cpf, cpf) for cpf in said])
        values = found.values("pk", "cpf", "email_corrected_at", *PERSON_FIELDS)
        by_cpf: dict[str, dict[str, Any]] = {person["cpf"]: person for person in values}
        known = {cpf: by_cpf[old] for cpf in said if (old := before.get(cpf, cpf)) in by_cpf}
        keys = {cpf: person["pk"] for cpf, person in known.items()}
        keys |= self._make_people([row for cpf, row in said.items() if cpf not in known])
        differing = {
            person["pk"]: said[cpf]
            for cpf, person in known.items()
            if _is_kept(said[cpf], person) or _differing(_person_values(said[cpf], person), person)
        }
        self.plan.unchanged_people += len(known) - len(differing)
        if differing:
            self._change_people(differing)
        return [Person(said[lines[0].cpf], lines, keys.get(lines[0].cpf)) for lines in batch]

    def _make_people(self, rows: list[Row]) -> dict[str, int]:
        """Their keys by CPF, once they are written."""
        self.plan.new_people += len(rows)
        self.plan.note("people", [row.line for row in rows])
        if not self.writing:
            return {}
        unusable = make_password(None)  # the same for a batch: it opens nothing, and making one for each is slow
        people = [
            User(cpf=row.cpf, password=unusable, **{name: getattr(row, name) for name in PERSON_FIELDS}) for row in rows
        ]
        for person in people:
            person.search_name = person.folded_names()
        return {person.cpf: person.pk for person in User.objects.bulk_create(people)}

    def _change_people(self, said: Mapping[int, Row]) -> None:
        """What is to be written is looked at again under the lock: somebody may have corrected an address by hand."""
        people = User.objects.filter(pk__in=said).order_by("pk")
        if self.writing:
            people = people.select_for_update(of=("self",), no_key=True)
        changed, old_addresses = [], {}
        for user in people:
            row, old = said[user.pk], user.email
            if _is_kept(row, user.__dict__):
                self.plan.note_kept_address(row)
            if not _set(user, _differing(_person_values(row, user.__dict__), user.__dict__)):
                self.plan.unchanged_people += 1
                continue
            user.search_name = user.folded_names()
            changed.append(user)
            if user.email != old:
                self.plan.note_changed_address(row, old)
                old_addresses[user.pk] = old
        self.plan.changed_people += len(changed)
        self.plan.note("changed", [user.pk for user in changed])
        if self.writing:
            User.objects.bulk_update(changed, (*PERSON_FIELDS, "search_name"))
            addresses.tell_all([(user, old_addresses[user.pk]) for user in changed if user.pk in old_addresses])

    # --- Bonds -------------------------------------------------------------------------------------------------------
    def _bonds(self, people: list[Person]) -> None:
        for some in _by_lines(people):
            units = self._unit_keys({row.unit_code for _person, row in some})
            found = Employment.objects.filter(matricula__in=[row.matricula for _person, row in some])
            columns = ("pk", "matricula", "user_id", "kind", "unit_id", *BOND_FIELDS)
            known = {bond["matricula"]: bond for bond in found.values(*columns)}
            new, changed = [], []
            for person, row in some:
                said: dict[str, Any] = {name: getattr(row, name) for name in BOND_FIELDS}
                # Where there is none, the plan would make it.
                said |= {"user_id": person.key, "unit_id": units.get(row.unit_code)}
                bond = known.get(row.matricula)
                if bond is None:
                    new.append({"matricula": row.matricula, **said})
                    self._note_staying(person.key, row)
                    continue
                if bond["user_id"] != person.key or bond["kind"] != Employment.Kind.DIRECTORY:
                    raise DirectoryChangedError(CHANGED)
                if differing := _differing(said, bond):
                    self._note_moved(bond, row, differing)
                    changed.append(bond | differing)
                    self._note_staying(person.key, row)
            self.plan.new_bonds += len(new)
            self.plan.changed_bonds += len(changed)
            self.plan.unchanged_bonds += len(some) - len(new) - len(changed)
            self.plan.note("bonds", [bond["matricula"] for bond in new], [bond["pk"] for bond in changed])
            if self.writing:
                Employment.objects.bulk_create(Employment(**bond) for bond in new)
                Employment.objects.bulk_update((Employment(**bond) for bond in changed), (*BOND_FIELDS, "unit"))

    def _unit_keys(self, codes: Iterable[str]) -> dict[str, int]:
        return dict(Unit.objects.filter(code__in=codes).values_list("code", "pk"))

    def _note_staying(self, key: int | None, row: Row) -> None:
        if key is not None and not self.writing and (row.ended_on is None or row.ended_on >= self.today):
            self.plan.staying.add(key)

    def _note_moved(self, bond: Mapping[str, Any], row: Row, differing: Mapping[str, Any]) -> None:
        was_open = bond["ended_on"] is None or bond["ended_on"] > self.today
        if was_open and row.ended_on is not None and row.ended_on <= self.today:
            self.plan.ending += 1
        if was_open and row.ended_on is not None and row.ended_on < self.today:
            self.plan.over.append(bond["pk"])
        elif "unit_id" in differing and (row.ended_on is None or row.ended_on >= self.today):
            self.plan.transferred[bond["pk"]] = bond["unit_id"]

    # --- Departures --------------------------------------------------------------------------------------------------
    def _departures(self) -> None:
        """End what the file no longer names. Whoever a refused line may be about has not left."""
        by_name = bool(self.store.count("refused", "cpf = '' AND name <> ''"))
        last = 0
        going_on = open_bonds(self.today).order_by("pk").values_list("pk", "matricula")
        while page := list(going_on.filter(pk__gt=last)[:BATCH]):
            last, _matricula = page[-1]
            named = self.store.among("matricula", [matricula for _pk, matricula in page], "kept", "refused")
            left = [pk for pk, matricula in page if matricula not in named]
            missing = list(Employment.objects.filter(pk__in=left).select_related("user").order_by("pk"))
            doubtful = self.store.among("cpf", {bond.user.cpf for bond in missing}, "refused", "doubted")
            missing = [bond for bond in missing if bond.user.cpf not in doubtful]
            if by_name:
                folded = {bond.pk: names.fold(bond.user.name) for bond in missing}
                doubtful = self.store.among("name", set(folded.values()), "refused", condition="cpf = ''")
                missing = [bond for bond in missing if folded[bond.pk] not in doubtful]
            self._end(missing)

    def _end(self, bonds: list[Employment]) -> None:
        for bond in bonds:
            bond.ended_on = max(self.today, bond.started_on)
            self.plan.over.append(bond.pk)
            self.plan.note("left", bond.pk)
        self.plan.left_bonds += len(bonds)
        self.plan.ending += len(bonds)
        if self.writing and bonds:
            Employment.objects.bulk_update(bonds, ("ended_on",))


def open_bonds(today: date) -> EmploymentQuerySet:
    """Bonds that an absence from the file would end. One that has not begun can end no earlier than it begins."""
    going_on = Q(ended_on=None) | (Q(ended_on__gt=today) & Q(ended_on__gt=F("started_on")))
    return Employment.objects.filter(going_on, kind=Employment.Kind.DIRECTORY)


def _together(lines: list[Row]) -> Row:
    """What one of somebody's lines leaves blank, another may give."""
    first = lines[0]
    if len(lines) == 1:
        return first
    given: dict[str, Any] = {
        name: next(filter(None, (getattr(row, name) for row in lines)), "")
        for name in ("social_name", "email", "phone")
    }
    return replace(first, **given)


def _is_kept(said: Row, person: Mapping[str, Any]) -> bool:
    """Whether the directory has another address, corrected by hand."""
    return person["email_corrected_at"] is not None and said.email not in {"", person["email"]}


def _person_values(said: Row, person: Mapping[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {name: getattr(said, name) for name in PERSON_FIELDS}
    return values | {"email": ""} if _is_kept(said, person) else values


def _differing(said: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in said.items() if known[name] != value and (value or name not in KEPT_IF_BLANK)
    }


def _set(instance: models.Model, values: Mapping[str, Any]) -> bool:
    """Give the instance these values; whether there are any."""
    for name, value in values.items():
        setattr(instance, name, value)
    return bool(values)


def _by_lines(people: list[Person]) -> Iterator[list[tuple[Person, Row]]]:
    """Each line with its person, a batch of lines at a time: somebody may have thousands."""
    lines = [(person, row) for person in people for row in person.lines]
    for start in range(0, len(lines), BATCH):
        yield lines[start : start + BATCH]
