"""The lines of the standards that the portal answers for, and the tests that hold each: a table in SECURITY.md.

A test that holds a line begins with its code: ``test_asvs_6_2_1_…``, ``test_nist_3_2_2_…``, ``test_fault_17_…``,
``test_owasp_same_message_…``. One name may carry several: ``test_asvs_3_3_1_and_3_4_1_…``,
``test_asvs_3_4_3_to_6_…``, ``test_fault_13_and_asvs_6_4_3_…``.

``python -m bnmp_portal.standards`` writes the table; a test compares. With a code, such as ``asvs_6_2_1`` or ``6.2.1``,
it prints every test of that line, as pytest takes it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "SECURITY.md"
TESTED = ("accounts", "requests_app", "bnmp_portal")
BEGIN, END = "<!-- standards: begin -->", "<!-- standards: end -->"
#: So many names of one line stand in the table; ``names_of`` gives all.
SHOWN = 3


@dataclass(frozen=True)
class Line:
    """What one line asks.

    ``code`` as tests write it. ``held_by``: codes of lines whose tests hold this one too. ``instead``: why there is no
    test. ``besides``: what of it the tests do not hold, and why.
    """

    code: str
    words: str
    held_by: tuple[str, ...] = ()
    instead: str = ""
    besides: str = ""

    @property
    def name(self) -> str:
        """The code as people write it."""
        family, _, rest = self.code.partition("_")
        return {
            "asvs": rest.replace("_", "."),
            "nist": f"§ {rest.replace('_', '.')}",
            "owasp": rest.replace("_", " "),
            "fault": rest,
        }[family]


@dataclass(frozen=True)
class Test:
    """One test function and the codes at the beginning of its name."""

    __test__ = False  # for pytest, which would take it for a test of its own

    path: str
    name: str
    codes: tuple[str, ...]


class UnknownCodeError(Exception):
    """A test is named after a line that is in no list."""


CERTIFICATES = "There is no sign-in by certificate yet; its page says so and takes nothing. The line belongs to it."

OWASP = (
    Line("owasp_same_message", "the same message for known and unknown accounts", ("asvs_6_3_8",)),
    Line("owasp_same_time", "the same time", ("fault_6",)),
    Line("owasp_limit_per_account", "a limit for each account", ("fault_7",)),
    Line("owasp_token", "a token from a keyed MAC, for one person, once, for a time", ("fault_8", "fault_9")),
    Line("owasp_link_host", "the link's host comes from the configuration", ("fault_1",)),
    Line("owasp_https", "HTTPS", ("asvs_3_4_1",)),
    Line("owasp_no_referrer", "no-referrer", ("fault_12",)),
    Line("owasp_guesses_limited", "guesses at tokens are limited"),
    Line("owasp_typed_twice", "the password is typed twice"),
    Line("owasp_same_policy", "the same password policy everywhere"),
    Line("owasp_notice", "a notice mail without the password", ("asvs_6_3_7",)),
    Line("owasp_no_auto_login", "no sign-in by itself", ("fault_13",)),
    Line("owasp_sessions_end", "other sessions end", ("asvs_7_4_3",)),
    Line("owasp_no_change_before", "no change to the account before a valid token"),
    Line("owasp_human_route", "always a human route"),
)
ASVS = (
    Line("asvs_2_2_2", "checks on the server"),
    Line("asvs_2_3_1", "no step of a flow can be skipped", ("fault_2",)),
    Line("asvs_2_4_1", "automation is limited"),
    Line("asvs_3_3_1", "cookies: Secure"),
    Line("asvs_3_3_2", "cookies: SameSite"),
    Line("asvs_3_3_3", "cookies: __Host-"),
    Line("asvs_3_3_4", "cookies: HttpOnly"),
    Line("asvs_3_4_1", "HSTS"),
    Line("asvs_3_4_3", "content security policy"),
    Line("asvs_3_4_4", "nosniff"),
    Line("asvs_3_4_5", "referrer policy"),
    Line("asvs_3_4_6", "frame-ancestors"),
    Line("asvs_3_5_1", "CSRF"),
    Line("asvs_4_1_3", "headers of a proxy cannot be forged"),
    Line("asvs_5_2_1", "files: no larger than what can be handled"),
    Line("asvs_5_2_2", "files: what they are is told by their content"),
    Line("asvs_5_3_1", "files: lie where no server runs or gives them"),
    Line("asvs_5_4_1", "files: given back under a name of the portal's making"),
    Line("asvs_6_2_1", "password: length"),
    Line("asvs_6_2_2", "password: can be changed"),
    Line("asvs_6_2_3", "password: the change asks for the current one"),
    Line("asvs_6_2_4", "password: list of common ones"),
    Line("asvs_6_2_5", "password: no composition rules"),
    Line("asvs_6_2_6", "password: masked, can be shown"),
    Line("asvs_6_2_7", "password: paste and managers"),
    Line("asvs_6_2_8", "password: whole, not cut"),
    Line("asvs_6_2_9", "password: at least 64 characters are taken"),
    Line("asvs_6_2_10", "password: no rotation"),
    Line("asvs_6_2_11", "password: context words"),
    Line("asvs_6_2_12", "password: list of breached ones"),
    Line("asvs_6_3_1", "brute force"),
    Line("asvs_6_3_2", "no default accounts"),
    Line("asvs_6_3_3", "second factor"),
    Line("asvs_6_3_4", "no weaker path"),
    Line("asvs_6_3_5", "notice of suspicious sign-ins (level 3)"),
    Line("asvs_6_3_7", "notice after a change (level 3)"),
    Line("asvs_6_3_8", "no enumeration, time included (level 3)"),
    Line("asvs_6_4_1", "initial secrets: random, expiring, one use"),
    Line("asvs_6_4_3", "a reset does not bypass the second factor"),
    Line("asvs_6_4_6", "staff start a reset and never choose or see the password (level 3)"),
    Line("asvs_6_5_1", "codes: used once"),
    Line("asvs_6_5_2", "codes: recovery codes are stored hashed"),
    Line("asvs_6_5_3", "codes: from a CSPRNG"),
    Line("asvs_6_5_4", "codes: hard to guess"),
    Line("asvs_6_5_5", "codes: a limited life"),
    Line("asvs_6_6_3", "codes: guesses are limited, however many sessions somebody opens"),
    Line("asvs_6_7", "certificates: chain, purpose, revocation (level 3)", instead=CERTIFICATES),
    Line("asvs_7_2_1", "sessions: checked on the server"),
    Line("asvs_7_2_2", "sessions: a token of their own, not a fixed key"),
    Line("asvs_7_2_3", "sessions: random, 128 bits"),
    Line("asvs_7_2_4", "sessions: new at sign-in"),
    Line("asvs_7_3_1", "sessions: end when idle"),
    Line("asvs_7_3_2", "sessions: end after an absolute time"),
    Line("asvs_7_4_1", "sessions: end by logout"),
    Line("asvs_7_4_2", "sessions: end when the account is disabled"),
    Line("asvs_7_4_3", "sessions: the others end after a change"),
    Line("asvs_7_5_2", "sessions: people see and end their own"),
    Line("asvs_14_2_1", "no secret stays in an address"),
    Line("asvs_14_3_2", "no-store"),
    Line("asvs_16_2", "log: who, what, when, where, outcome; no secret, no whole CPF"),
    Line("asvs_16_3", "log: sign-ins, refusals, changes"),
    Line("asvs_16_4", "log: nobody changes it; kept six months at least"),
)
NIST = (
    Line("nist_3_1_1_2", "at least 15 where the password is the only factor; code points, NFC"),
    Line("nist_3_2_2", "at most 100 consecutive failures"),
    Line("nist_4_2_1_2", "mailed recovery lives 24 hours at most"),
    Line("nist_4_2_3", "recovery notifies", ("asvs_6_3_7",)),
)
FAULTS = (
    Line("fault_1", "headers change the mailed link (Zitadel, LTB)"),
    Line("fault_2", "skipping to the set-password step (Keycloak CVE-2026-18963)"),
    Line("fault_3", "two values or a list for one field (GitLab CVE-2023-7028)"),
    Line("fault_4", "Unicode look-alikes of an identifier (Django CVE-2019-19844)"),
    Line("fault_5", "the mail backend raises (Django CVE-2024-45231)"),
    Line("fault_6", "time tells who exists (CVE-2024-39329, CVE-2016-2513)"),
    Line("fault_7", "the throttle answers only for real accounts (Laravel #13658)"),
    Line("fault_8", "a link used twice, its sibling, an older one (Liferay CVE-2021-33322)"),
    Line("fault_9", "one person's token with another's id (authentik CVE-2023-26481)"),
    Line("fault_10", "the target address taken from the request (LTB CVE-2023-49032)"),
    Line("fault_11", "a password that is no string; NUL; 1 MB (LTB CVE-2018-12421)"),
    Line("fault_12", "the token leaks by Referer"),
    Line("fault_13", "a reset signs in past the second factor (Keycloak #12759)"),
    Line("fault_14", "X-Forwarded-For spoofs the limit; one success clears the address's (allauth)"),
    Line("fault_15", "a forged certificate header (Keycloak CVE-2024-10039)"),
    Line("fault_16", "mail scanners open links (authelia #2994)"),
    Line("fault_17", "the same at once, eight submissions and four approvals (discord/access)"),
    Line("fault_18", "the decision trusts the form's body"),
    Line("fault_19", "a state-changing view by GET, or without the permission (enigma)"),
    Line("fault_20", "another person's request is readable, or its existence is"),
    Line("fault_21", "signs in search, formulas in exports, CR/LF in a name that reaches a header"),
    Line("fault_22", "the second factor's code, or a recovery code, used twice"),
    Line("fault_23", "files: 200 MB, NUL bytes, a zip, an XLSX named .csv, a header without rows"),
)
CATALOGUE = {
    "OWASP Forgot Password": OWASP,
    "OWASP ASVS 5.0, level 2 throughout": ASVS,
    "NIST SP 800-63B-4": NIST,
    "Faults that others had": FAULTS,
}
LINES = {line.code: line for lines in CATALOGUE.values() for line in lines}

ASVS_CODE = re.compile(r"(\d+)_(\d+)_(\d+)(?:_to_(\d+))?(?=_|$)")
FAMILY = re.compile(r"(asvs|nist|fault|owasp)_")


def codes_of(name: str) -> tuple[str, ...]:
    """The codes at the beginning of a test's name; () where it is named after no line.

    Raises UnknownCodeError where it is named after a line that is in no list.
    """
    codes: list[str] = []
    rest = name.removeprefix("test_")
    family = ""
    while True:
        if found := FAMILY.match(rest):
            family, rest = found[1], rest[found.end() :]
        elif not codes or not rest[:1].isdigit():
            return tuple(codes)
        these, rest = _first_codes(family, rest)
        if not these:
            raise UnknownCodeError(f"{name}: no line of the standards has this code")
        codes += these
        if not rest.startswith("_and_"):
            return tuple(codes)
        rest = rest.removeprefix("_and_")


def _first_codes(family: str, rest: str) -> tuple[list[str], str]:
    """The codes that ``rest`` begins with, and what comes after them."""
    if family == "asvs" and (found := ASVS_CODE.match(rest)):
        chapter, section, first, last = found.groups()
        numbers = range(int(first), int(last or first) + 1)
        codes = [_line_of(f"asvs_{chapter}_{section}", number) for number in numbers]
        return ([], rest) if "" in codes else (codes, rest[found.end() :])
    known = [line.code.partition("_")[2] for line in LINES.values() if line.code.startswith(f"{family}_")]
    fitting = [code for code in known if rest.startswith(f"{code}_")]
    if not fitting:
        return [], rest
    code = max(fitting, key=len)
    return [f"{family}_{code}"], rest[len(code) :]


def _line_of(section: str, number: int) -> str:
    """The line of one requirement: its own, or that of its whole section; "" for what has neither."""
    return next((code for code in (f"{section}_{number}", section) if code in LINES), "")


def tests() -> Iterator[Test]:
    """Every test that is named after a line, in the order of files and lines."""
    for folder in TESTED:
        for path in sorted((ROOT / folder / "tests").glob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                if (
                    isinstance(node, ast.FunctionDef)
                    and node.name.startswith("test_")
                    and (codes := codes_of(node.name))
                ):
                    yield Test(str(path.relative_to(ROOT)), node.name, codes)


def holders(line: Line, found: Iterable[Test]) -> list[Test]:
    """The tests of a line: its own first, then those of the lines that hold it too."""
    known = list(found)
    return list(dict.fromkeys(test for code in (line.code, *line.held_by) for test in known if code in test.codes))


def table(lines: Iterable[Line], found: Iterable[Test]) -> str:
    known = list(found)
    rows = ["| line | what it asks | held by |", "|---|---|---|"]
    for line in lines:
        held = holders(line, known)
        shown = [f"`{test.name}` ([{Path(test.path).stem}]({test.path}))" for test in held[:SHOWN]]
        if len(held) > SHOWN:
            shown.append(f"and {len(held) - SHOWN} more")
        shown += [sentence for sentence in (line.instead, line.besides) if sentence]
        rows.append(f"| {line.name} | {line.words} | {'<br>'.join(shown)} |")
    return "\n".join(rows)


def names_of(code: str) -> list[str]:
    """All tests of one line, as pytest takes them; ``code`` as tests or people write it.

    Raises UnknownCodeError if no line has it.
    """
    for line in LINES.values():
        if code.strip("§ ") in {line.code, line.name.strip("§ ")}:
            return [f"{test.path}::{test.name}" for test in holders(line, tests())]
    raise UnknownCodeError(f"{code}: no line of the standards has this code")


def chapter() -> str:
    """What stands between the two marks."""
    found = list(tests())
    parts = [f"### {title}\n\n{table(lines, found)}" for title, lines in CATALOGUE.items()]
    return f"{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}"


def written(document: str) -> str:
    """The document with its table made anew."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"SECURITY.md has lost its marks: {BEGIN} … {END}")
    return before + chapter() + after


def main(codes: list[str]) -> None:
    """Write the table; or, where codes are given, print the tests of those lines."""
    if not codes:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
        return
    try:
        sys.stdout.writelines(f"{name}\n" for code in codes for name in names_of(code))
    except UnknownCodeError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
