"""What settings read from the environment. What is missing or unreadable stops the start with one clear line."""

from __future__ import annotations

from ipaddress import ip_network
from urllib.parse import unquote, urlsplit

import environ

env = environ.FileAwareEnv()


def stop(sentence: str) -> SystemExit:
    """The one line that an operator sees when the portal cannot start."""
    return SystemExit(f"O portal não pode iniciar: {sentence} Veja .env.example.")


def text(name: str, default: str | None = None) -> str:
    """A non-empty value. Without a default, its absence stops the start."""
    try:
        # Not by env.str, which takes a value that begins with a dollar for the name of another variable.
        value: str = env.ENVIRON.get(name, "").strip()
    except (OSError, UnicodeDecodeError):
        raise stop(f"o arquivo de {name}_FILE não pôde ser lido.") from None
    if value:
        return value
    if default is None:
        raise stop(f"defina {name}.")
    return default


def boolean(name: str, *, default: bool) -> bool:
    """On or off; anything that is neither stops the start instead of meaning "off"."""
    value = text(name, "on" if default else "off").lower()
    if value in {"1", "true", "on", "yes", "sim"}:
        return True
    if value in {"0", "false", "off", "no", "nao", "não"}:
        return False
    raise stop(f"{name} deve ser on ou off, e não {value!r}.")


def number(name: str, default: int, *, least: int, most: int) -> int:
    """A whole number within its limits."""
    value = text(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):  # noqa: PLR2004
        raise stop(f"{name} deve ser um número de {least} a {most}, e não {value!r}.")
    return int(value)


def words(name: str, default: str | None = None) -> list[str]:
    """A list, separated by commas."""
    found = [word.strip() for word in text(name, default).split(",") if word.strip()]
    if not found and default is None:
        raise stop(f"defina {name}.")
    return found


def web_address(name: str) -> str:
    """An address that others can be appended to."""
    value = text(name).rstrip("/")
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets, or a port that is no number
        good = False
    if not good or "?" in value or "#" in value:
        raise stop(f"{name} deve ser um endereço completo, como https://sistemas.tjms.jus.br.")
    return value


def networks(name: str, default: str = "") -> list[str]:
    """Addresses or networks in CIDR form."""
    values = words(name, default)
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise stop(f"{name} tem um endereço inválido: {value!r}.") from None
    return values


def is_mailbox(address: str) -> bool:
    """Whether it has all that IMAP needs: how, who, where."""
    try:
        parts = urlsplit(address)
        complete = parts.scheme in {"imap", "imaps"} and parts.username and parts.password and parts.hostname
        return bool(complete and parts.port != 0 and unquote(address).isascii() and unquote(address).isprintable())
    except ValueError:  # brackets, or a port that is no number, such as the rest of a password with # in it
        return False
