"""What a form of requests shows when it is opened: a draft, an old request, or what is known from the last time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accounts.desk import is_key
from accounts.models import AddressChange, Employment, User

from . import drafts
from .form_fields import current_units
from .forms import AccessRequestForm, initial_from
from .models import AccessGrant, AccessRequest, Draft, Status

AS_LAST_TIME = "Preenchido como no seu último pedido."
PERSON_GONE = "A pessoa escolhida antes não está mais ativa no cadastro. Escolha outra."
OTHER_BOND = "O vínculo daquele pedido terminou. Confira a pessoa: agora vale a matrícula {}."
SEVERAL_BONDS = "O vínculo daquele pedido terminou, e a pessoa tem mais de um vínculo hoje. Escolha um deles."
SYSTEM_GONE = "O sistema escolhido antes não recebe agora pedidos seus. Escolha outro."
TYPE_GONE = "O tipo de usuário escolhido antes não é mais oferecido. Escolha outro."
UNIT_GONE = "A unidade escolhida antes não existe mais. Escolha outra."
#: Nothing more happens to these.
OVER = (Status.REJECTED, Status.CANCELLED, Status.EXPIRED)


@dataclass(frozen=True)
class Opened:
    """A form that has just been opened, and what it was filled in with."""

    form: AccessRequestForm
    #: What stands in the form, or waits beside it where ``again`` does.
    draft: Draft | None = None
    #: The old request that stands in the form.
    again: AccessRequest | None = None
    #: A sentence for each thing that can be chosen no more.
    left_out: list[str] = field(default_factory=list)


def new(user: User) -> Opened:
    """Nova Solicitação: the draft, if there is one."""
    draft = drafts.of(user, drafts.NEW)
    if draft is None:
        return Opened(_with_contacts(user, {}))
    form = AccessRequestForm(user=user, initial=_kept_in(draft))
    return Opened(form, draft, left_out=_leave_out_what_is_gone(form))


def again(user: User, old: AccessRequest) -> Opened:
    """The same as an old request, as far as it can be asked today."""
    initial = {**initial_from(old), **dict.fromkeys(("requester_email", "requester_phone"))}
    bond, said = _bond_today(old)
    if said:
        initial.update(beneficiary=bond.pk if bond else None, beneficiary_search=None)
    form = _with_contacts(user, {name: value for name, value in initial.items() if value is not None})
    return Opened(form, drafts.of(user, drafts.NEW), old, left_out=said + _leave_out_what_is_gone(form))


def correction(user: User, returned: AccessRequest) -> Opened:
    """A request to be corrected: as it stands, or as it was typed since."""
    initial, draft = initial_from(returned), drafts.of(user, returned.protocol)
    if draft is None:
        return Opened(AccessRequestForm(user=user, asker=returned.requester, initial=initial))
    form = AccessRequestForm(user=user, asker=returned.requester, initial={**initial, **_kept_in(draft)})
    return Opened(form, draft, left_out=_leave_out_what_is_gone(form))


def can_be_asked_again(old: AccessRequest) -> bool:
    """Whether it is over: decided against, given up, or what it gave has ended."""
    if old.status == Status.COMPLETED:
        return not AccessGrant.objects.live().filter(request=old).exists()
    return old.status in OVER


def _kept_in(draft: Draft) -> dict[str, str]:
    return {name: str(draft.data[name]) for name in drafts.FIELDS if name in draft.data}


def _with_contacts(user: User, initial: dict[str, Any]) -> AccessRequestForm:
    """With address and telephone of the last request; an address that was changed since comes from the directory."""
    last = AccessRequest.objects.filter(requester=user).order_by("-pk").first()
    known = {"requester_email": last.requester_email, "requester_phone": last.requester_phone} if last else {}
    if last and AddressChange.objects.filter(user=user, at__gt=last.created_at).exists():
        del known["requester_email"]
    form = AccessRequestForm(user=user, initial={**initial, **known})
    for name in known:
        form.fields[name].help_text = f"{form.fields[name].help_text} {AS_LAST_TIME}"
    return form


def _bond_today(old: AccessRequest) -> tuple[Employment | None, list[str]]:
    """The bond that it was for; where that is over, the only one that the person has now, or none, and a sentence.

    No sentence where the person has none left: that is said of every form (``_leave_out_what_is_gone``).
    """
    current = Employment.objects.current()
    if bond := current.filter(pk=old.employment_id).first():
        return bond, []
    others = list(current.filter(user=old.beneficiary_id)[:2])
    if len(others) == 1:
        return others[0], [OTHER_BOND.format(others[0].matricula)]
    return None, [SEVERAL_BONDS] if others else []


def _leave_out_what_is_gone(form: AccessRequestForm) -> list[str]:
    """Take out of a form what nobody can choose in it any more; returns a sentence for each."""
    initial, said = form.initial, []

    def leave_out(sentence: str, *names: str) -> None:
        for name in names:
            initial.pop(name, None)
        said.append(sentence)

    if initial.get("beneficiary") and not _is_among(Employment.objects.current(), initial["beneficiary"]):
        leave_out(PERSON_GONE, "beneficiary", "beneficiary_search")
    if initial.get("system") and str(initial["system"]) not in {str(system.pk) for system in form.offered}:
        leave_out(SYSTEM_GONE, "system", "user_type")
    if initial.get("user_type") and not _is_among(form.fields["user_type"].queryset, initial["user_type"]):  # type: ignore[attr-defined]
        leave_out(TYPE_GONE, "user_type")
    if "unit" in form.fields and initial.get("unit") and not _is_among(current_units(), initial["unit"]):
        leave_out(UNIT_GONE, "unit")
    return said


def _is_among(rows: Any, key: object) -> bool:
    return is_key(str(key)) and bool(rows.filter(pk=int(str(key))).exists())
