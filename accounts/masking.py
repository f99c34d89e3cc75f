"""How addresses and CPFs are shown where they need not be read whole (LGPD; DOMAIN §5)."""

from __future__ import annotations

import re

from . import cpf

#: In what mail servers answer; the at sign may be written as links write it.
ADDRESS = re.compile(r"""("[^"]*"|[^\s<>()\[\],;:"'@/?&]+)(?:@|%40)([\w.-]+)""")
CPF = re.compile(r"(?<!\d)\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?!\d)")


def masked_address(address: str) -> str:
    """``j***@tjms.jus.br``; nothing where there is none."""
    mailbox, _at, domain = address.rpartition("@")
    return f"{mailbox[:1]}***@{domain}" if mailbox else ""


def mask_people(answer: str) -> str:
    """What a mail server answered, without whole addresses and CPFs."""
    without_addresses = ADDRESS.sub(lambda found: masked_address(f"{found[1]}@{found[2]}"), answer)
    return CPF.sub(lambda found: cpf.masked(re.sub(r"\D", "", found[0])), without_addresses)


def kept_reason(reason: str) -> str:
    """What is kept of a reason that the staff typed: people masked, and cut to its column, for masks may be longer."""
    return mask_people(reason)[:200]
