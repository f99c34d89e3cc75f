"""Who may see and do what at the desk: every address and every action, by every group, by anonymous and by others.

The tables are written by hand. The addresses come from the URL resolver: one that stands in no table fails.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from accounts.models import FactorRemoval, HelpDesk, OutgoingMail, Term, TermAcceptance, Unit, User
from accounts.tests.factories import DirectoryImportFactory, EmploymentFactory, UserFactory, cpf_of
from accounts.tests.telephone import with_telephone
from requests_app import attachments, workflow
from requests_app.batch_forms import written
from requests_app.groups import GROUPS
from requests_app.models import (
    AccessGrant,
    AccessRequest,
    Attachment,
    Batch,
    BatchOutcome,
    Cargo,
    CatalogueChange,
    ExternalSystem,
    GrantEvent,
    Holiday,
    InternalNote,
    ReasonTemplate,
    RequestEvent,
    Status,
    SystemNotice,
)
from requests_app.workflow import batches

from .factories import UserTypeFactory, request_in, superuser, unsaved_request
from .pages import Page, walk

pytestmark = pytest.mark.django_db

#: A letter for each who comes, so that the tables can be read.
GROUP_OF = {"A": "Análise", "G": "Gestão", "D": "Administração", "U": "Auditoria"}
#: S: the administrator that ``create_administrator`` makes. N: staff in no group. P: a person. Z: nobody signed in.
EVERYBODY = "AGDUSNPZ"

# --- The tables ------------------------------------------------------------------------------------------------------
#: Of each model of the desk: who sees its list, its rows and their history; who adds, changes and deletes by its pages.
MODELS = {
    "auth/group": ("DUS", "", "", ""),
    "accounts/user": ("AGDUS", "", "GS", ""),
    "accounts/unit": ("AGDUS", "S", "S", ""),
    "accounts/helpdesk": ("GUS", "", "GS", ""),
    "accounts/term": ("GUS", "GS", "", ""),
    "accounts/termacceptance": ("GUS", "", "", ""),
    "accounts/securityevent": ("GDUS", "", "", ""),
    "accounts/outgoingmail": ("AGUS", "", "", ""),
    "accounts/factorremoval": ("GUS", "", "", ""),
    "accounts/directoryimport": ("GUS", "GS", "", ""),
    "requests_app/accessrequest": ("AGUS", "", "", ""),
    "requests_app/accessgrant": ("AGUS", "", "", ""),
    "requests_app/externalsystem": ("GUS", "GS", "GS", ""),
    "requests_app/cargo": ("GUS", "GS", "GS", ""),
    "requests_app/reasontemplate": ("GUS", "GS", "GS", ""),
    "requests_app/holiday": ("GUS", "GS", "GS", "GS"),
    "requests_app/cataloguechange": ("GUS", "", "", ""),
}
#: Of each other address: who sees a page there, or is led to one of the desk; and whose POST changes something.
DOORS = {
    "": ("AGDUSN", ""),
    "numeros/": ("AGUS", ""),
    "requests_app/accessrequest/<int:pk>/decidir/": ("AGUS", "A"),
    "requests_app/accessrequest/<int:pk>/anotar/": ("AGUS", "A"),
    "requests_app/accessrequest/<int:pk>/mostrar/": ("AGUS", "A"),
    "requests_app/accessrequest/<int:pk>/despacho/": ("AGUS", "A"),
    "requests_app/accessrequest/<int:pk>/anexos/<int:number>/": ("AGUS", ""),
    "requests_app/accessrequest/<int:pk>/imprimir/": ("AGUS", ""),
    "requests_app/accessrequest/lote/": ("AGUS", "A"),
    "requests_app/accessrequest/lote/<int:pk>/": ("AGUS", ""),
    "requests_app/accessrequest/lote/<int:pk>/continuar/": ("AGUS", "A"),
    "requests_app/accessrequest/exportar/": ("AGUS", "GUS"),
    "requests_app/accessgrant/exportar/": ("AGUS", "GUS"),
    "requests_app/accessgrant/<int:pk>/mover/": ("AGUS", "A"),
    "requests_app/accessgrant/<int:pk>/prazo/": ("AGUS", "A"),
    "requests_app/accessgrant/<int:pk>/reemitir/": ("AGUS", "A"),
    "requests_app/holiday/conhecidos/": ("GS", "GS"),
    "accounts/user/<int:pk>/link/": ("AGDUS", "AGS"),
    "accounts/user/<int:pk>/desbloquear/": ("AGDUS", "AGS"),
    "accounts/user/<int:pk>/sessoes/": ("AGS", "AGS"),
    "accounts/user/<int:pk>/email/": ("GS", "GS"),
    "accounts/user/<int:pk>/mostrar/": ("AGDUS", "AGS"),
    "accounts/user/<int:pk>/perfil/": ("DS", "DS"),
    "accounts/user/de-fora/": ("GS", "GS"),
    "accounts/user/vinculo/<int:bond>/": ("GS", "GS"),
    "accounts/factorremoval/<int:pk>/pedir/": ("GS", "GS"),
    "accounts/factorremoval/<int:pk>/confirmar/": ("GS", "GS"),
    "accounts/factorremoval/<int:pk>/recusar/": ("GS", "GS"),
    "accounts/directoryimport/<int:pk>/andamento/": ("GUS", ""),
    "accounts/directoryimport/<int:pk>/relatorio/": ("GUS", ""),
    "accounts/directoryimport/<int:pk>/refazer/": ("GS", "GS"),
    "accounts/directoryimport/<int:pk>/aplicar/": ("GS", "GS"),
    "accounts/directoryimport/<int:pk>/descartar/": ("GS", "GS"),
    "accounts/outgoingmail/<int:pk>/tentar/": ("AGUS", "AGS"),
    "accounts/outgoingmail/<int:pk>/resolver/": ("AGUS", "AGS"),
    "autocomplete/": ("AGDUS", ""),
    r"^(?P<app_label>accounts|auth|requests_app)/$": ("AGDUS", ""),
    "jsi18n/": ("AGDUSN", ""),
}
#: Django's, which lead elsewhere whoever comes, or nowhere; they change nothing.
LEAD_ELSEWHERE = {
    *("login/", "logout/", "password_change/", "password_change/done/"),
    *("r/<path:content_type_id>/<path:object_id>/", "(?P<url>.*)$"),
}
#: What may be done with what is chosen on a list, and by whom.
ACTIONS = {
    "requests_app/accessrequest": dict.fromkeys(("approve_many", "return_many", "reject_many"), "A"),
    "accounts/outgoingmail": dict.fromkeys(("try_selected_again", "dismiss_selected"), "AGS"),
    "requests_app/holiday": {"delete_selected": "GS"},
}
#: That a file was opened is recorded, whoever opens it.
RECORDED = {
    "requests_app/accessrequest/<int:pk>/anexos/<int:number>/",
    "accounts/directoryimport/<int:pk>/relatorio/",
}
#: Written at every request, or only while somebody is at the door.
PASSING = {"accounts.Session", "accounts.ThrottleCount"}
PASSING_TABLES = {apps.get_model(label)._meta.db_table for label in PASSING}
READS = re.compile(r"\s*(SELECT|SAVEPOINT|RELEASE|ROLLBACK|PRAGMA|SET|SHOW)\b", re.IGNORECASE)
WRITES = re.compile(r'\s*(?:INSERT (?:OR IGNORE )?INTO|UPDATE|DELETE FROM)\s+"(\w+)"', re.IGNORECASE)


# --- The addresses ---------------------------------------------------------------------------------------------------
def routes(patterns, before=""):
    for entry in patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from routes(entry.url_patterns, route)


STEPS = ("", "add/", "<path:object_id>/change/", "<path:object_id>/delete/", "<path:object_id>/history/")
#: Leads to the row's page.
OLD_STEP = "<path:object_id>/"


def stock():
    """The addresses that Django makes for each model, with who sees a page there and whose POST changes something."""
    for model, (see, add, change, delete) in MODELS.items():
        who = ((see, ""), (add, add), (see, change), (delete, delete), (see, ""), (see, ""))
        yield from ((f"{model}/{step}", pair) for step, pair in zip((*STEPS, OLD_STEP), who, strict=True))


TABLE = {**dict(stock()), **DOORS}


def test_every_address_of_the_desk_stands_in_a_table():
    known = {f"admin/{route}" for route in (*TABLE, *LEAD_ELSEWHERE)}
    there = {route for route in routes(get_resolver().url_patterns) if route.startswith("admin/")}
    assert there - known == set(), "say in DOORS or MODELS who may see and do what there"
    assert known - there == set(), "these are gone"


def test_every_model_of_the_desk_stands_in_the_table():
    assert {f"{model._meta.app_label}/{model._meta.model_name}" for model in admin.site._registry} == set(MODELS)


# --- The world -------------------------------------------------------------------------------------------------------
@dataclass
class World:
    """One of everything that the addresses are about, and somebody of each kind."""

    who: dict[str, User | None]
    rows: dict[str, int]
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)


def somebody(letter):
    if letter == "Z":
        return None
    if letter == "P":
        return EmploymentFactory().user
    user = superuser() if letter == "S" else UserFactory(is_staff=True)
    if letter in GROUP_OF:
        user.groups.add(Group.objects.get(name=GROUP_OF[letter]))
    return user


@pytest.fixture
def world(settings, tmp_path, make_client):
    settings.ATTACHMENTS_DIR = tmp_path
    who = {letter: somebody(letter) for letter in EVERYBODY}
    decider = who["A"]
    person, without_telephone = EmploymentFactory().user, EmploymentFactory().user
    lost, asker = EmploymentFactory().user, somebody("G")
    with_telephone(without_telephone)
    with_telephone(lost)
    pending = workflow.file(unsaved_request())
    by_hand = UserTypeFactory(system__credential=ExternalSystem.Credential.OPERATOR)
    approved = workflow.file(unsaved_request(user_type=by_hand))
    workflow.move(approved.pk, Status.APPROVED, by=decider)
    grant = workflow.move(workflow.file(unsaved_request()).pk, Status.APPROVED, by=decider).grant
    in_days = timezone.localdate() + timedelta(days=90)
    outsider = EmploymentFactory(kind="TEMPORARY", ended_on=in_days, sponsor=EmploymentFactory(matricula="S1").user)
    batch = Batch.objects.create(nonce=uuid.uuid4(), by=decider, to=Status.APPROVED)
    BatchOutcome.objects.create(batch=batch, request=workflow.file(unsaved_request()), refusal=batches.NOT_YET)
    file = Attachment(
        name="a.pdf", media_type="application/pdf", size=4, sha256="0" * 64, uploaded_by=pending.requester
    )
    file.request = pending
    file.save()
    place = attachments.place_of(file.key)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"%PDF")
    InternalNote.objects.create(request=pending, author=decider, text="Conferir.")
    HelpDesk().save()
    term = Term.objects.create(version=1, text="Prometo guardar sigilo.")
    TermAcceptance.objects.bulk_create(TermAcceptance(user=user, term=term) for user in User.objects.all())
    lapses = timezone.now() + timedelta(hours=24)
    removal = FactorRemoval.objects.create(user=lost, reason="Perdeu", asked_by=asker, lapses_at=lapses)
    mail = OutgoingMail.objects.create(
        kind="request_received", recipient=person, object_id=RequestEvent.objects.first().pk + 10**6, status="FAILED"
    )
    day = timezone.localdate()
    rows = {
        "auth/group": Group.objects.get(name="Análise").pk,
        "accounts/user": person.pk,
        "accounts/unit": person.employments.get().unit_id,
        "accounts/helpdesk": HelpDesk.objects.get().pk,
        "accounts/term": term.pk,
        "accounts/termacceptance": TermAcceptance.objects.first().pk,
        "accounts/securityevent": apps.get_model("accounts", "SecurityEvent").objects.create(kind="SIGNED_IN").pk,
        "accounts/outgoingmail": mail.pk,
        "accounts/factorremoval": removal.pk,
        "accounts/directoryimport": DirectoryImportFactory(uploaded_by=asker).pk,
        "requests_app/accessrequest": pending.pk,
        "requests_app/accessgrant": grant.pk,
        "requests_app/externalsystem": by_hand.system_id,
        "requests_app/cargo": Cargo.objects.create(name="Cargo de teste").pk,
        "requests_app/reasontemplate": ReasonTemplate.objects.create(decision="REJECTED", title="T", text="T").pk,
        "requests_app/holiday": Holiday.objects.create(starts_on=day, ends_on=day, name="Dia", scope="COURT").pk,
        "requests_app/cataloguechange": CatalogueChange.objects.create(
            model="requests_app.cargo", object_id=1, name="Cargo", changes=[["cargo", None, "Cargo"]], by=asker
        ).pk,
        "requests_app/accessrequest/<int:pk>/mostrar/": approved.pk,
        "accounts/factorremoval/<int:pk>/pedir/": without_telephone.pk,
        "requests_app/accessrequest/lote/<int:pk>/": batch.pk,
        "requests_app/accessrequest/lote/<int:pk>/continuar/": batch.pk,
        "number": file.pk,
        "bond": outsider.pk,
    }
    SystemNotice.objects.create(system_id=by_hand.system_id, text="Novidade.")
    client = make_client()
    client.force_login(person)  # has a session that can be ended
    made = World(who, rows)
    made.bodies = bodies(made, make_client(), written(batches.seen_of([pending.pk])))
    return made


def address(world, route):
    """Where a route leads with the row that it is about."""
    model = "/".join(route.split("/")[:2])
    row = world.rows.get(route, world.rows.get(model, 1))
    filled = re.sub(r"<(path:object_id|int:pk)>", str(row), route).replace("<int:number>", str(world.rows["number"]))
    filled = filled.replace("<int:bond>", str(world.rows["bond"]))
    if "app_label" in filled:
        return "/admin/accounts/"
    if filled == "autocomplete/":
        filled += "?app_label=accounts&model_name=employment&field_name=unit&term=a"
    return f"/admin/{filled}"


def as_shown(response):
    """What a form would post that is sent as it is shown."""
    shown = {}
    for control in Page(response).all("input", "select", "textarea"):
        attributes = dict(control.attributes)
        name, kind = attributes.get("name"), attributes.get("type", "")
        if (
            not name
            or kind in {"submit", "button", "file"}
            or (kind in {"checkbox", "radio"} and "checked" not in attributes)
        ):
            continue
        if control.name == "select":
            chosen = [dict(option.attributes) for option in walk(control) if option.name == "option"]
            shown[name] = [option.get("value", "") for option in chosen if "selected" in option]
        elif control.name == "textarea":
            shown[name] = "".join(child for child in control.children if isinstance(child, str)).strip()
        else:
            shown[name] = attributes.get("value") or ("on" if kind == "checkbox" else "")
    return shown


#: What is typed over the forms as they are shown.
TYPED = {
    "accounts/user/<path:object_id>/change/": {"phone": "(67) 3314-4321"},
    "accounts/unit/add/": {"code": "9999-001", "name": "Vara Nova", "comarca": "Bonito", "started_on": "01/01/2020"},
    "accounts/unit/<path:object_id>/change/": {"name": "Outro nome"},
    "accounts/helpdesk/<path:object_id>/change/": {"name": "Outra Coordenadoria"},
    "accounts/term/add/": {"text": "Prometo guardar todo o sigilo.", "publish": "1"},
    "requests_app/externalsystem/add/": {"name": "Sistema Novo", "credential": "OWN"},
    "requests_app/externalsystem/<path:object_id>/change/": {"purpose": "Outro fim"},
    "requests_app/cargo/add/": {"name": "Cargo Novo"},
    "requests_app/cargo/<path:object_id>/change/": {"name": "Cargo com outro nome"},
    "requests_app/reasontemplate/add/": {"decision": "REJECTED", "title": "Novo", "text": "Texto."},
    "requests_app/reasontemplate/<path:object_id>/change/": {"text": "Outro texto."},
    "requests_app/holiday/add/": {
        "starts_on": "01/06/2027",
        "ends_on": "01/06/2027",
        "name": "Dia novo",
        "scope": "COURT",
    },
    "requests_app/holiday/<path:object_id>/change/": {"name": "Outro dia"},
}


def bodies(world, client, chosen):
    """What is posted to each address: what would change something, if it came from who may."""
    client.force_login(world.who["S"])
    shown = {route: as_shown(client.get(address(world, route))) | typed for route, typed in TYPED.items()}
    deletion = {route: {"post": "yes"} for route in TABLE if route.endswith("/delete/")}
    return {
        **shown,
        **deletion,
        "requests_app/accessrequest/<int:pk>/decidir/": {"to": "APPROVED"},
        "requests_app/accessrequest/<int:pk>/anotar/": {"text": "Confirmei por telefone."},
        "requests_app/accessrequest/<int:pk>/despacho/": {"despacho": A_FILE},
        "requests_app/accessrequest/lote/": {"to": "APPROVED", "chosen": chosen},
        "requests_app/accessgrant/<int:pk>/mover/": {"to": "SUSPENDED", "note": "A pessoa está de licença."},
        "requests_app/accessgrant/<int:pk>/prazo/": {"until": "2199-12-31", "why": "Designação até essa data."},
        "requests_app/accessgrant/<int:pk>/reemitir/": {"note": "Não chegou."},
        "requests_app/holiday/conhecidos/": {"ano": "2031"},
        "accounts/user/<int:pk>/email/": {"email": "outra.pessoa@tjms.jus.br", "reason": "Ligou e conferi."},
        "accounts/user/de-fora/": {
            "cpf": cpf_of(7_000_001),
            "name": "Nova Pessoa",
            "email": "nova.pessoa@tjms.jus.br",
            "phone": "3314-0000",
            "kind": "TEMPORARY",
            "cargo": "Estagiário",
            "unit_search": Unit.objects.first().code,
            "started_on": f"{timezone.localdate()}",
            "ended_on": f"{timezone.localdate()}",
            "sponsor_search": "S1",
        },
        "accounts/user/vinculo/<int:bond>/": {
            "ended_on": f"{timezone.localdate() + timedelta(days=9)}",
            "reason": "Prorrogado.",
            "seen": f"{timezone.localdate() + timedelta(days=90)}",
        },
        "accounts/user/<int:pk>/perfil/": {
            "is_staff": "on",
            "groups": [Group.objects.get(name="Gestão").pk],
            "seen": "fora da equipe",
        },
        "accounts/factorremoval/<int:pk>/pedir/": {"reason": "Perdeu o celular."},
        "accounts/directoryimport/add/": {"file": A_FILE},
        "accounts/directoryimport/<int:pk>/refazer/": {"seen": "0" * 64, "accepted": "012345"},
        "accounts/directoryimport/<int:pk>/aplicar/": {"seen": "0" * 64, "departures": "1"},
        "accounts/directoryimport/<int:pk>/descartar/": {"seen": "0" * 64},
    }


A_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
A_PDF += b"xref\n0 1\n0000000000 65535 f \ntrailer<</Root 1 0 R/Size 3>>\nstartxref\n100\n%%EOF\n"
A_FILE = "a file"


def body(world, route):
    """Anew each time: a file is read once."""
    sent = world.bodies.get(route, {})
    return {
        name: SimpleUploadedFile("despacho.pdf", A_PDF, "application/pdf") if value == A_FILE else value
        for name, value in sent.items()
    }


def everything():
    """Every row of every table, but for what each request writes."""
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label not in PASSING
    }


def tried(before, ask, *, but=()):
    """The answer, and the tables that are not as before; then everything is as before it.

    Tables are compared only where something was written: there are some thousand answers.
    """
    written_to = set()

    def watch(execute, sql, params, many, context):
        if not READS.match(sql):
            written_to.add(found[1] if (found := WRITES.match(sql)) else sql)
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(watch):
            response = ask()
            if response.streaming:
                b"".join(response.streaming_content)
        after = everything() if written_to - PASSING_TABLES else before
        transaction.set_rollback(True)
    return response, {label for label in before if before[label] != after[label]} - set(but)


def is_a_page_of_the_desk(response):
    place = urlsplit(response.request["PATH_INFO"]).path
    return response.status_code == 200 and place.startswith("/admin/") and not place.startswith("/admin/login/")


@pytest.fixture
def comer(make_client, world):
    """A client of somebody of that letter."""

    def come(letter):
        client = make_client()
        if world.who[letter] is not None:
            client.force_login(world.who[letter])
        return client

    return come


# --- The tests -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("letter", EVERYBODY)
def test_each_sees_the_pages_that_the_table_says_and_no_other_and_looking_changes_nothing(world, comer, letter):
    client, before, wrong = comer(letter), everything(), {}
    for route, (see, _do) in TABLE.items():
        place = address(world, route)
        recorded = {"accounts.SecurityEvent"} if route in RECORDED and letter in see else set()
        response, tables = tried(before, lambda place=place: client.get(place, follow=True), but=recorded)
        if (is_a_page_of_the_desk(response), tables) != (letter in see, set()):
            wrong[route] = (response.status_code, response.request["PATH_INFO"], tables)
    assert wrong == {}


@pytest.mark.parametrize("letter", EVERYBODY)
def test_fault_19_each_does_what_the_table_says_and_a_forged_post_of_anybody_else_changes_nothing(world, comer, letter):
    """The same bodies for all: what is nothing for most of them changes something for who may."""
    client, before, wrong = comer(letter), everything(), {}
    for route, (_see, do) in TABLE.items():
        place = address(world, route)
        response, tables = tried(before, lambda place=place, route=route: client.post(place, body(world, route)))
        if bool(tables) != (letter in do):
            wrong[route] = (response.status_code, tables)
    assert wrong == {}


@pytest.mark.parametrize("letter", EVERYBODY)
def test_what_leads_elsewhere_changes_nothing(world, comer, letter):
    client, before = comer(letter), everything()
    for route in sorted(LEAD_ELSEWHERE - {"(?P<url>.*)$", "r/<path:content_type_id>/<path:object_id>/"}):
        for ask in (client.get, client.post):
            _response, tables = tried(before, lambda ask=ask, route=route: ask(f"/admin/{route}"))
            assert tables == set(), route


@pytest.mark.parametrize("letter", EVERYBODY)
def test_each_list_offers_the_actions_that_the_table_says(world, comer, letter):
    client = comer(letter)
    offered = {}
    for model in MODELS:
        options = Page(client.get(f"/admin/{model}/", follow=True)).all("select", name="action")
        names = {dict(option.attributes).get("value") for menu in options for option in walk(menu)} - {None, ""}
        if names:
            offered[model] = names
    expected = {model: {name for name, who in actions.items() if letter in who} for model, actions in ACTIONS.items()}
    assert offered == {model: names for model, names in expected.items() if names}


@pytest.mark.parametrize("letter", EVERYBODY)
def test_fault_19_an_action_that_is_not_offered_changes_nothing(world, comer, letter):
    """Each list's own actions, and Django's for deleting, which hardly any list has. A batch is confirmed first."""
    client, before, wrong = comer(letter), everything(), {}
    for model in MODELS:
        for name in {"delete_selected", *ACTIONS.get(model, {})}:
            sent = {"action": name, "_selected_action": [world.rows[model]], "post": "yes", "index": "0"}
            response, tables = tried(before, lambda model=model, sent=sent: client.post(f"/admin/{model}/", sent))
            asks_first = name in ACTIONS["requests_app/accessrequest"]
            expected = letter in ACTIONS.get(model, {}).get(name, "") and not asks_first
            if bool(tables) != expected:
                wrong[model, name] = (response.status_code, tables)
    assert wrong == {}


KEPT = (
    AccessRequest,
    RequestEvent,
    AccessGrant,
    GrantEvent,
    OutgoingMail,
    InternalNote,
    CatalogueChange,
    Attachment,
    Batch,
)


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model._meta.label)
def test_nobody_has_a_permission_to_delete_what_is_kept(model):
    codename = f"delete_{model._meta.model_name}"
    assert not Group.objects.filter(permissions__codename=codename).exists()


@pytest.mark.parametrize("model", [model for model in KEPT if model in admin.site._registry])
def test_not_even_the_administrator_deletes_what_is_kept(rf, model):
    request = rf.get("/")
    request.user = superuser()
    assert not admin.site._registry[model].has_delete_permission(request)
    assert "delete_selected" not in admin.site._registry[model].get_actions(request)


# --- Who says who decides never decides ------------------------------------------------------------------------------
SAYS_WHO_DECIDES = "Quem define os perfis da equipe não decide solicitações nem acessos."


def both():
    """In both groups, as no page makes anybody."""
    user = UserFactory(is_staff=True)
    user.groups.set(Group.objects.filter(name__in=("Análise", "Administração")))
    return user


@pytest.mark.parametrize("by", [superuser, both])
@pytest.mark.parametrize(
    ("status", "to"),
    [("PENDING", "APPROVED"), ("PENDING", "REJECTED"), ("PENDING", "IN_REVIEW"), ("APPROVED", "COMPLETED")],
)
def test_four_eyes_who_says_who_decides_decides_nothing_not_even_by_a_forged_post(client, by, status, to):
    user_type = UserTypeFactory(system__credential=ExternalSystem.Credential.OPERATOR)
    request = request_in(Status(status), user_type=user_type)
    client.force_login(by())
    place = f"/admin/requests_app/accessrequest/{request.pk}/"
    page = Page(client.get(f"{place}change/"))
    assert not page.all("button", name="to")

    answer = client.post(f"{place}decidir/", {"to": to, "note": "motivo", "sends_own": "on"})

    assert answer.status_code == 409
    assert SAYS_WHO_DECIDES in Page(answer).text
    request.refresh_from_db()
    assert request.status == status
    assert not request.events.exists()


@pytest.mark.parametrize("by", [superuser, both])
def test_four_eyes_who_says_who_decides_reissues_nothing(client, by):
    grant = workflow.move(workflow.file(unsaved_request()).pk, Status.APPROVED, by=somebody("A")).grant
    client.force_login(by())
    answer = client.post(f"/admin/requests_app/accessgrant/{grant.pk}/reemitir/", {"note": "Não chegou."})
    assert answer.status_code == 409
    assert SAYS_WHO_DECIDES in Page(answer).text
    assert grant.events.count() == 1


def test_the_letters_are_the_groups_of_the_code():
    assert set(GROUP_OF.values()) == set(GROUPS)
