"""Mailboxes that are not a person's own: no credential may go there (DOMAIN §1)."""

from __future__ import annotations

from accounts.models import HelpDesk, Unit, User

from .rows import looks_like_a_unit


def is_of_a_unit(address: str, person: User) -> bool:
    """Whether this is the mailbox of a unit: by its look, or because the directory says so."""
    if looks_like_a_unit(address, person.name) or address.lower() == HelpDesk.current().email.lower():
        return True
    return Unit.objects.filter(email__iexact=address).exists()


def is_of_somebody_else(address: str, person: User) -> bool:
    """Whether another person of the directory has it: somebody with another CPF."""
    return User.objects.exclude(email="").filter(email__iexact=address).exclude(cpf=person.cpf).exists()
