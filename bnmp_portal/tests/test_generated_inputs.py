"""Generated inputs for every address: whatever is typed, posted or uploaded gets an answer, never an exception.

The forms are found from the addresses, and their fields from the pages as people get them: a form that is new is tried
without a line here, and one that cannot be found fails. ``make fuzz`` tries 10,000 inputs for each form, and 1,000
for each address.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from urllib.parse import quote, urlencode, urlsplit

import pytest
import time_machine
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import Resolver404, URLPattern, get_resolver, resolve
from django.utils import timezone
from django.views.generic import RedirectView
from hypothesis import HealthCheck, Phase, given, note
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from accounts import resets, tasks
from accounts.models import FactorRemoval, HelpDesk, OutgoingMail, SecurityEvent, Session, Term, TermAcceptance
from accounts.tests.captcha_solver import solve
from accounts.tests.factories import PASSWORD, DirectoryImportFactory, EmploymentFactory
from accounts.tests.telephone import with_telephone
from conftest import FORBIDDEN_IN_PAGES
from requests_app import catalogue, drafts, workflow
from requests_app.models import Cargo, Draft, ExternalSystem, ReasonTemplate, Status
from requests_app.tests.factories import (
    ExternalSystemFactory,
    UserTypeFactory,
    analyst,
    grant_of,
    head_of,
    manager,
    request_in,
    superuser,
    unsaved_request,
)
from requests_app.tests.files import attached
from requests_app.tests.pages import Page, walk
from requests_app.workflow import batches

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
#: What a page may answer to anything: shown, led on, or refused with a page that says why.
ANSWERS = {200, 204, 301, 302, 303, 400, 403, 404, 405, 409, 410, 413, 415, 429}


def inputs(count):
    return of_hypothesis(
        max_examples=count if EXAMPLES else 6,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # what breaks is told as it was sent; making it smaller would cost minutes
    )


# --- What is typed --------------------------------------------------------------------------------------------------
ODD = [
    *("", " ", "\0", "a\0b", "\r\n", "x\r\nBcc: evil@evil.example", "\u202eabc", "\ufeff", "\ud800", "\udfff\ud800"),
    *("²" * 11, "１２３４５６７８９０１", "٣" * 11, "𝟗" * 6, "½", "Ⅷ", "é" * 300, "e\u0301" * 200, "ı", "ß", "😀" * 50),
    *("%", "_", "\\", "'", '"', "%%%", "%00", "' OR 1=1 --", "=1+1", "{{ 7*7 }}", "{% load x %}", "<script>x</script>"),
    *("0", "-1", "1", "1.5", "1e309", "NaN", "Infinity", "9" * 400, str(2**31), str(2**63), str(2**64), "-" + "9" * 30),
    *(
        "0x10",
        "1_000",
        "+1",
        "1 ",
        "٣",
        "²",
        "true",
        "None",
        "null",
        "[]",
        "{}",
        '{"$ne": 1}',
        "[" * 2_000,
        "on",
        "off",
    ),
    *("2026-02-30", "0001-01-01", "9999-12-31", "31/12/9999", "25:61", "2026-01-01T00:00:00+99:00", "1970-01-01"),
    *("../../etc/passwd", "//evil.example/", "javascript:alert(1)", "http://[::1", "https://evil.example", "a@b", "@"),
    *(
        "00000000-0000-0000-0000-000000000000",
        "not-a-uuid",
        "a,b,c",
        ",",
        "1,2,x",
        "__in",
        "id__exact",
        "\t",
        "\x1b[31m",
    ),
    *("x" * 5_000, "5" * 20_000, "a b " * 3_000),
]
typed = st.one_of(st.sampled_from(ODD), st.text(max_size=60), st.text(st.characters(), max_size=20))
uploads = st.binary(max_size=200) | st.sampled_from([b"PK\x03\x04" + b"\0" * 99, b"\xff" * 999, b""])


def in_bytes(text):
    return text.encode("utf-8", "surrogatepass")


# --- The addresses --------------------------------------------------------------------------------------------------
def routes(patterns, before=""):
    for entry in patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route, entry
        else:
            yield from routes(entry.url_patterns, route)


ROUTES = dict(routes(get_resolver().url_patterns))
#: Where the form of an address stands that cannot be opened itself.
FOUND_ON = {
    "sair/": "conta/",
    "solicitacoes/<str:protocol>/cancelar/": "solicitacoes/<str:protocol>/",
    "rascunho/descartar/": "solicitacoes/nova/",
    "conta/sessoes/<uuid:mark>/encerrar/": "conta/sessoes/",
    "conta/sessoes/encerrar-outras/": "conta/sessoes/",
    "conta/segundo-fator/ligar/": "conta/segundo-fator/",
    "conta/meus-dados/arquivo/": "conta/meus-dados/",
    "admin/requests_app/accessrequest/<int:pk>/decidir/": "admin/requests_app/accessrequest/<path:object_id>/change/",
    "admin/requests_app/accessrequest/lote/<int:pk>/continuar/": "admin/requests_app/accessrequest/lote/<int:pk>/",
    "admin/requests_app/accessrequest/exportar/": "admin/requests_app/accessrequest/",
    "admin/requests_app/accessgrant/exportar/": "admin/requests_app/accessgrant/",
    "admin/requests_app/accessrequest/<int:pk>/despacho/": "admin/requests_app/accessrequest/<path:object_id>/change/",
    "admin/requests_app/accessrequest/<int:pk>/anotar/": "admin/requests_app/accessrequest/<path:object_id>/change/",
    "admin/requests_app/accessgrant/<int:pk>/reemitir/": "admin/requests_app/accessgrant/<path:object_id>/change/",
    "admin/requests_app/accessgrant/<int:pk>/mover/": "admin/requests_app/accessgrant/<path:object_id>/change/",
    "admin/requests_app/accessgrant/<int:pk>/prazo/": "admin/requests_app/accessgrant/<path:object_id>/change/",
    "admin/accounts/user/<int:pk>/link/": "admin/accounts/user/<path:object_id>/change/",
    "admin/accounts/user/<int:pk>/desbloquear/": "admin/accounts/user/<path:object_id>/change/",
    "admin/accounts/user/<int:pk>/mostrar/": "admin/accounts/user/<path:object_id>/change/",
    "admin/accounts/factorremoval/<int:pk>/confirmar/": "admin/accounts/factorremoval/<path:object_id>/change/",
    "admin/accounts/factorremoval/<int:pk>/recusar/": "admin/accounts/factorremoval/<path:object_id>/change/",
    "admin/accounts/directoryimport/<int:pk>/refazer/": "admin/accounts/directoryimport/<path:object_id>/change/",
    "admin/accounts/directoryimport/<int:pk>/aplicar/": "admin/accounts/directoryimport/<path:object_id>/change/",
    "admin/accounts/directoryimport/<int:pk>/descartar/": "admin/accounts/directoryimport/<path:object_id>/change/",
    "admin/accounts/outgoingmail/<int:pk>/tentar/": "admin/accounts/outgoingmail/<path:object_id>/change/",
    "admin/accounts/outgoingmail/<int:pk>/resolver/": "admin/accounts/outgoingmail/<path:object_id>/change/",
}
#: Fields of what no page has a form for that can be opened by itself.
FIELDS = {
    "conta/sessoes/uso/": {},
    # On the page of a request that has waited some days, and on no other.
    "solicitacoes/<str:protocol>/lembrar/": {},
    # Posted by a script, with what stands in the form of a request.
    "rascunho/": {name: [""] for name in ("nonce", "protocolo", *drafts.FIELDS)},
    # On the page of a request that waits to be registered, and on no other.
    "admin/requests_app/accessrequest/<int:pk>/mostrar/": {"note": [""], "text": [""], "reason": [""]},
    # Its page is the answer to a selection on the list.
    "admin/requests_app/accessrequest/lote/": {
        "to": ["APPROVED", "RETURNED", "REJECTED"],
        **{name: [""] for name in ("chosen", "nonce", "reason", "note")},
    },
}
#: What the administration has no form for, whoever asks: pages to read, ways to other pages, and Django's own pages for
#: adding and deleting what nobody adds or deletes there.
FORMLESS = {
    *("admin/", "admin/login/", "admin/logout/", "admin/password_change/", "admin/password_change/done/"),
    *("admin/numeros/", "admin/autocomplete/", "admin/jsi18n/", "admin/r/<path:content_type_id>/<path:object_id>/"),
    "admin/(?P<url>.*)$",
    "admin/requests_app/accessrequest/<int:pk>/anexos/<int:number>/",
    "admin/requests_app/accessrequest/<int:pk>/imprimir/",
    "admin/requests_app/accessrequest/lote/<int:pk>/",
    *(
        f"admin/{name}/add/"
        for name in (
            *("accounts/user", "accounts/securityevent", "accounts/termacceptance", "accounts/outgoingmail"),
            *("accounts/factorremoval", "accounts/helpdesk", "requests_app/accessrequest", "requests_app/accessgrant"),
            "requests_app/cataloguechange",
        )
    ),
    *(
        f"admin/{name}/<path:object_id>/delete/"
        for name in (
            *("accounts/user", "accounts/securityevent", "accounts/term", "accounts/termacceptance"),
            *("accounts/outgoingmail", "accounts/factorremoval", "accounts/unit", "accounts/helpdesk"),
            "accounts/directoryimport",
            *("requests_app/accessrequest", "requests_app/externalsystem", "requests_app/accessgrant"),
            *("requests_app/reasontemplate", "requests_app/cargo", "requests_app/cataloguechange"),
        )
    ),
    *(
        f"admin/{name}/<path:object_id>/change/"
        for name in (
            *("accounts/outgoingmail", "accounts/factorremoval", "accounts/directoryimport"),
            *("requests_app/accessrequest", "requests_app/accessgrant", "requests_app/cataloguechange"),
        )
    ),
    "admin/accounts/directoryimport/<int:pk>/andamento/",
    "admin/accounts/directoryimport/<int:pk>/relatorio/",
    *(f"admin/auth/group/{page}/" for page in ("add", "<path:object_id>/change", "<path:object_id>/delete")),
}
#: Django's, the same for every model or application: to read, and a way to the page of the row.
TO_READ = re.compile(r"admin/\^\(\?P<app_label>.*|admin/\w+/\w+/<path:object_id>/(history/)?")
#: Beside what the pages' own forms ask: what lists of the administration and our own take in their addresses.
IN_ADDRESSES = (
    *("q", "page", "status", "next", "o", "p", "all", "e", "_popup", "_to_field", "_changelist_filters", "situacao"),
    *(
        "id__in",
        "pk",
        "is_active__exact",
        "kind__exact",
        "user__cpf",
        "at__gte",
        "user_type__system__id__exact",
        "term",
    ),
    *("app_label", "model_name", "field_name", "periodo", "result", "captcha", "código", "version"),
    *("sistema", "tipo", "comarca", "unidade", "idade", "com", "de", "ate", "ano", "pessoa", "conjunto"),
    *("de", "ate", "sistema"),
    *("beneficiary", "user_type", "unit", "corrige"),
)


# --- The people and what they have ----------------------------------------------------------------------------------
@dataclass
class World:
    """One of everything, and somebody in every state that a page knows."""

    person: object
    other: object
    staff: object
    #: Decides and keeps the catalogue: the administrator does not.
    decider: object
    returned: object
    #: Of the unit of somebody who has an access.
    head: object
    args: dict = field(default_factory=dict)

    def known(self):
        """What fits, by the name of the field."""
        return {
            "username": self.person.cpf,
            "cpf": self.person.cpf,
            "password": PASSWORD,
            "old_password": PASSWORD,
            "new_password1": "três araras voando baixo",
            "new_password2": "três araras voando baixo",
            "captcha": solve(),
            "code": "000000",
            "reason": "A pessoa ligou e confirmou os dados.",
            "email": "nova.pessoa@tjms.jus.br",
            "note": "Falta um documento.",
            "chosen": f"{self.args['request']}:{10**9}",
            "accept": "on",
            "csrfmiddlewaretoken": None,
        }


def make_world():
    person, other, without_telephone = (EmploymentFactory().user for _ in range(3))
    with_telephone(other)
    with_telephone(without_telephone)
    staff, decider = superuser(), analyst()
    decider.groups.set(Group.objects.exclude(name="Administração"))
    for user in (staff, decider):
        EmploymentFactory(user=user)
    in_days = timezone.localdate() + timedelta(days=90)
    from_outside = EmploymentFactory(kind="TEMPORARY", ended_on=in_days, sponsor=other)
    Draft.objects.create(user=person, data={"description": "Meia hora de texto."})
    by_hand = UserTypeFactory(system=ExternalSystemFactory(credential=ExternalSystem.Credential.OPERATOR))
    with_unit = UserTypeFactory(system__asks_unit=True)
    catalogue.record(with_unit.system, before=None, by=decider)
    Cargo.objects.get_or_create(folded_name="juiz de direito", defaults={"name": "Juiz de Direito"})
    returned = workflow.file(unsaved_request(requester=person))
    workflow.move(returned.pk, Status.RETURNED, by=analyst(), note="Falta o ato de designação.")
    to_register = request_in(Status.APPROVED, user_type=by_hand)
    pending = workflow.file(unsaved_request(requester=person, user_type=by_hand))
    ReasonTemplate.objects.create(decision="REJECTED", title="Sem finalidade", text="Diga para que serve o acesso.")
    grant = workflow.move(workflow.file(unsaved_request(requester=other)).pk, Status.APPROVED, by=analyst()).grant
    unit_head = head_of(grant.user.employments.get().unit)
    with transaction.atomic():
        resets.owe_link(other, SecurityEvent.Kind.RESET_REQUESTED)
    OutgoingMail.objects.update(status="FAILED", error="550 5.1.1 no such user")
    term = Term.objects.create(version=1, text="Prometo guardar sigilo.", published_by=staff)
    for who in (person, other, staff, decider, unit_head):
        TermAcceptance.objects.create(user=who, term=term)
    hours = timedelta(hours=24)
    HelpDesk().save()
    DirectoryImportFactory()
    removal = FactorRemoval.objects.create(
        user=other, reason="Perdeu o celular", asked_by=manager(), lapses_at=timezone.now() + hours
    )
    seen = batches.seen_of([pending.pk])
    batch = batches.begin(uuid.uuid4(), Status.REJECTED, seen, by=decider, note="Falta a portaria.", reason=None)
    joint, _is_new = workflow.file_all(
        [(EmploymentFactory(), None), (EmploymentFactory(), None)],
        nonce=uuid.uuid4(),
        requester=person,
        user_type=by_hand,
        description="Plantão de dezembro.",
        email=person.email,
        phone=person.phone,
    )
    return World(
        person=person,
        other=other,
        staff=staff,
        decider=decider,
        returned=returned,
        head=unit_head,
        args={
            "grant": grant.pk,
            "bond": from_outside.pk,
            "access": grant_of(person.employments.get()).pk,
            "joint": joint.pk,
            "protocol": returned.protocol,
            "uid": "MQ",
            "token": "abc-def",
            "mark": uuid.uuid4(),
            "name": "sessoes",
            "version": 1,
            "index": 1,
            "content_type_id": 1,
            "app_label": "accounts",
            "url": "nada",
            "request": pending.pk,
            "to_register": to_register.pk,
            "batch": batch.pk,
            "pk": attached(returned).pk,
            "number": attached(pending).pk,
            "removal": removal.pk,
            "without_telephone": without_telephone.pk,
        },
    )


def anonymous(client, world):
    pass


def person(client, world):
    client.force_login(world.person)
    world.args["mark"] = Session.objects.filter(user=world.person).get().mark


def in_two_browsers(client, world):
    type(client)().force_login(world.person)
    world.args["mark"] = Session.objects.filter(user=world.person).get().mark
    client.force_login(world.person)


def with_a_factor(client, world):
    with_telephone(world.person)
    person(client, world)


def before_the_code(client, world):
    """The password was right, and now the telephone is asked."""
    with_telephone(world.person)
    assert client.post("/entrar/", {"username": world.person.cpf, "password": PASSWORD}).status_code == 302


def with_a_new_telephone(client, world):
    person(client, world)
    assert client.post("/conta/segundo-fator/ligar/", {"password": PASSWORD}).status_code == 302


def staff(client, world):
    client.force_login(world.staff)


def decider(client, world):
    client.force_login(world.decider)


def head(client, world):
    client.force_login(world.head)


def with_an_open_link(client, world):
    user = world.other
    uid, token = link_parts(user)
    assert client.get(f"/redefinir-senha/{uid}/{token}/").status_code == 302


def link_parts(user):
    return resets.urlsafe_base64_encode(str(user.pk).encode()), resets.tokens.make_token(user)


def newcomer(client, world):
    """Signed in, and a term has come out since."""
    person(client, world)
    Term.objects.create(version=2, text="Prometo guardar todo o sigilo.", published_by=world.staff)


WHO = {
    "unidade/acessos/": head,
    "unidade/acessos/<int:grant>/encerrar/": head,
    "redefinir-senha/nova/": with_an_open_link,
    "termo/": newcomer,
    "entrar/codigo/": before_the_code,
    "conta/segundo-fator/celular/": with_a_new_telephone,
    "conta/segundo-fator/desligar/": with_a_factor,
    "conta/sessoes/encerrar-outras/": in_two_browsers,
    "conta/sessoes/<uuid:mark>/encerrar/": in_two_browsers,
}
PUBLIC = ("entrar/", "entrar/certificado/", "esqueci-a-senha/", "captcha/", "health/", "metrics", "redefinir-senha/")


def who_asks(route):
    if route in WHO:
        return WHO[route]
    if route.startswith("admin/"):
        return decider if route.startswith("admin/requests_app/") else staff
    return anonymous if route.startswith(PUBLIC) else person


def address_of(route, world, **instead):
    """An address of this route, with what is there in its place, or what is given."""
    model = re.match(r"admin/(\w+)/(\w+)/(?:lote/)?<", route)

    def value(found):
        name = found[1]
        if name in instead:
            return quote(in_bytes(instead[name]), safe="")
        if name in {"pk", "object_id"} and model:
            return str(first_of(model[1], model[2], route, world))
        return str(world.args[name] if name != "object_id" else 1)

    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", value, re.sub(r"\^?\(\?P(<\w+>)[^)]*\)/?\$", r"\1", route))


def first_of(app, name, route, world):
    if route.endswith("/pedir/"):
        return world.args["without_telephone"]
    if name == "user":
        return world.other.pk
    if "/lote/" in route:
        return world.args["batch"]
    if route.endswith("accessrequest/<int:pk>/mostrar/"):
        return world.args["to_register"]
    if route.endswith("/decidir/") or name == "accessrequest":
        return world.args["request"]
    one = apps.get_model(app, name)._default_manager.first()
    assert one is not None, f"make a {name} in make_world"
    return one.pk


# --- The forms ------------------------------------------------------------------------------------------------------
def fields_of(controls):
    """What a form would post: names, and for each the values that it offers."""
    fields = {}
    for control in controls:
        attributes = dict(control.attributes)
        name = attributes.get("name")
        if control.name in {"input", "select", "textarea", "button"} and name:
            options = [dict(option.attributes).get("value", "") for option in walk(control) if option.name == "option"]
            fields.setdefault(name, []).extend(options or [attributes.get("value", "")])
    return fields


def forms_on(client, address):
    """The forms of a page by the address that they are posted to."""
    response = client.get(address)
    if response.status_code not in {200, 409} or not response["Content-Type"].startswith("text/html"):
        return {}
    found, page = {}, Page(response)
    for form in page.all("form"):
        attributes = dict(form.attributes)
        if attributes.get("method", "").lower() == "post":
            outside = page.all(form=attributes["id"]) if "id" in attributes else []  # what says that it belongs to it
            others = [dict(control.attributes).get("formaction") for control in outside]
            for target in (attributes.get("action") or address, *filter(None, others)):
                found.setdefault(urlsplit(target).path, {}).update(fields_of([*walk(form), *outside]))
    return found


def takes_posts(route, entry):
    """Whether somebody posts there. Of a view that is a function nothing tells: it does, unless it is written down."""
    if route.startswith("admin/"):
        return route not in FORMLESS and not TO_READ.fullmatch(route)
    view_class = getattr(entry.callback, "view_class", RedirectView)
    has_post = hasattr(view_class, "post") and "post" in view_class.http_method_names
    return has_post and view_class is not RedirectView


def form_of(client, route, world):
    """The fields of the form that this address takes; None where no page has one."""
    address = address_of(route, world)
    pages = [address, *([address_of(FOUND_ON[route], world)] if route in FOUND_ON else [])]
    for page in pages:
        for target, fields in forms_on(client, page).items():
            if str(resolve(target).route) == str(resolve(address).route):
                return target, fields
    return (address, FIELDS[route]) if route in FIELDS else (address, None)


# --- The test -------------------------------------------------------------------------------------------------------
def body_of(data, fields):
    """A body and its type: mostly a form with one or two fields that are wrong, sometimes no form at all."""
    kind = data.draw(st.sampled_from(["form"] * 8 + ["multipart", "files", "json", "bytes"]), label="body")
    if kind == "bytes":
        types = st.sampled_from(
            ["", "text/plain", "application/x-www-form-urlencoded", MULTIPART_CONTENT, "multipart/form-data", "x" * 99]
            + [f"application/x-www-form-urlencoded; charset={name}" for name in ("utf-16", "klingon", "\\")]
        )
        return data.draw(uploads), data.draw(types, label="type")
    if kind == "files":
        names = data.draw(st.sets(st.sampled_from(sorted(fields) or ["file"]), max_size=3), label="files")
        name = data.draw(st.sampled_from(["a.csv", "a\r\nb", "../x", "é" * 300, "\0"]), label="name")
        sent = {one: SimpleUploadedFile(name.replace("\0", "x"), data.draw(uploads)) for one in names}
        return encode_multipart(BOUNDARY, {**in_text(fields), **sent}), MULTIPART_CONTENT
    if kind == "json":
        return json.dumps(fields).encode(), "application/json"
    if kind == "multipart":
        return encode_multipart(BOUNDARY, in_text(fields)), MULTIPART_CONTENT
    pairs = [(in_bytes(name), in_bytes(value)) for name, values in fields.items() for value in values]
    return urlencode(pairs).encode(), "application/x-www-form-urlencoded"


def in_text(fields):
    return {name: values[0].encode("utf-8", "replace").decode() for name, values in fields.items() if values}


def filled_in(data, form, known):
    """The form as somebody fills it in who gets one or two fields wrong; now and then all of them."""
    names = sorted(set(form) | {"next"})
    wrong = data.draw(st.sets(st.sampled_from(names), max_size=data.draw(st.sampled_from([1, 1, 2, len(names)]))))
    fields = {}
    for name in names:
        offered = [value for value in (known.get(name), *form.get(name, [])) if value is not None] or [""]
        if name in wrong:
            fields[name] = data.draw(st.lists(typed, max_size=3), label=name)
        else:
            fields[name] = [known[name] if known.get(name) else data.draw(st.sampled_from(offered), label=name)]
    return fields


def assert_is_answered(response):
    if response.request["PATH_INFO"] != "/health/status":  # 503 here, where nothing runs that would send the mail
        assert response.status_code in ANSWERS
    if not response.streaming:
        assert b"Traceback (most recent call last)" not in response.content


def tried(client, ask):
    """One try, and then everything is as before it: counts of the throttle, rows, cookies."""
    cookies = client.cookies.output(header="", sep=";")
    with transaction.atomic():
        assert_is_answered(ask())
        transaction.set_rollback(True)
    client.cookies = SimpleCookie(cookies)


FORMS = [route for route, entry in ROUTES.items() if takes_posts(route, entry)]


@pytest.mark.parametrize("route", FORMS)
@inputs(EXAMPLES)
@given(data=st.data())
def test_any_input_to_a_form_is_answered(world_of, route, data):
    client, world, (target, form) = world_of(route)
    body, content_type = body_of(data, filled_in(data, form or {}, world.known()))
    note(f"{target} {content_type} {body!r}")

    tried(client, lambda: client.generic("POST", target, body, content_type))


@pytest.mark.parametrize("route", ROUTES)
@inputs(EXAMPLES // 10)
@given(data=st.data())
def test_any_address_is_answered(world_of, route, data):
    """Whatever stands in its parts and behind its question mark; posted to as well, with or without a form."""
    client, world, (_target, form) = world_of(route)
    in_address = data.draw(st.lists(st.tuples(st.sampled_from(IN_ADDRESSES), typed), max_size=3), label="query")
    query = urlencode([(in_bytes(name), in_bytes(value)) for name, value in in_address])
    names = re.findall(r"<(?:\w+:)?(\w+)>", route)
    odd = {name: data.draw(typed, label=name) for name in names if data.draw(st.integers(0, 3)) == 0}
    address = f"{address_of(route, world, **odd)}?{query}"
    fields = filled_in(data, form or {name: [""] for name in IN_ADDRESSES[:4]}, world.known())
    body, content_type = body_of(data, fields)
    note(f"{address} {content_type} {body!r}")

    tried(client, lambda: client.get(address))
    tried(client, lambda: client.generic("POST", address, body, content_type))


FORM = "application/x-www-form-urlencoded"
#: What cannot be read as a form, or not as the one that it says to be. Browsers send none of it.
UNREADABLE = {
    **{name: (f"{FORM}; charset={name}", b"") for name in ("latin-1", "utf-16", "utf-7", "rot13", "hex", "punycode")},
    "too many fields": (FORM, b"&a=1" * 2_000),
    "too large": (FORM, b"&a=" + b"x" * 200_001),
}


@pytest.mark.parametrize(("content_type", "more"), UNREADABLE.values(), ids=UNREADABLE)
def test_asvs_3_5_1_what_cannot_be_read_is_refused_at_every_address_by_a_page_of_ours(
    db, settings, make_client, content_type, more
):
    """With the token of the form, and the check for it on, which reads the form before anything else does."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 200_000
    world, client = make_world(), make_client(enforce_csrf_checks=True)
    client.raise_request_exception = False
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/entrar/").content.decode())[1]
    body = f"csrfmiddlewaretoken={token}".encode() + more

    for address in [*(address_of(route, world) for route in ROUTES), "/nao-existe/"]:
        response = client.generic("POST", address, body, content_type, headers={"X-CSRFToken": token})
        assert (address, response.status_code) == (address, refused_with(address))
        assert "Sistemas Externos – TJMS" in response.content.decode()
        assert "no-store" in response["Cache-Control"]


def refused_with(address):
    """The status; where no form is ever looked at, it is not what is posted that is wrong."""
    try:
        is_read = not getattr(resolve(address).func, "csrf_exempt", False)
    except Resolver404:
        return 404
    return 400 if is_read else 405


def standing(client, route, world):
    """Where somebody stands who asks for this address: what it answers, and what its form asks."""
    response = client.get(address_of(route, world))
    return response.status_code, response.headers.get("Location"), sorted(form_of(client, route, world)[1] or ())


@pytest.fixture
def world_of(db, settings, make_client, monkeypatch):
    """The people, a client in the state that a route needs, and its form: made once for all inputs of a test.

    The clock stands still: sessions, links and steps would end in the hours of ``make fuzz``, and all that came later
    would be tried at the door. Fails if the client is not where it was when the test is over.
    """
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 200_000
    monkeypatch.delitem(FORBIDDEN_IN_PAGES, "an unrendered template tag")  # here people type such things
    made, stood = {}, {}

    def make(route):
        if route not in made:
            world, client = make_world(), make_client()
            who_asks(route)(client, world)
            made[route] = client, world, form_of(client, route, world)
            stood[route] = standing(client, route, world)
        return made[route]

    with time_machine.travel(timezone.now(), tick=False):
        yield make
        for route, (client, world, _form) in made.items():
            assert standing(client, route, world) == stood[route]


@pytest.mark.parametrize("route", FORMS)
def test_the_form_of_every_address_is_found(world_of, route):
    _client, _world, (_target, form) = world_of(route)

    assert form is not None, "say in FOUND_ON on which page its form stands, or in FIELDS what is posted to it"


def test_fault_21_a_line_break_in_a_name_writes_no_header_of_a_mail(db, smtp_sink):
    name = "Sistema X\r\nBcc: evil@evil.example\r\n\r\nLeia isto"
    bond = EmploymentFactory(user__name="MARIA\r\nBcc: evil@evil.example")
    user_type = UserTypeFactory(system=ExternalSystemFactory(name=name))
    request = workflow.file(unsaved_request(bond=bond, user_type=user_type))
    workflow.move(request.pk, Status.APPROVED, by=analyst())

    tasks.sweep()

    assert smtp_sink.deliveries
    for delivery in smtp_sink.deliveries:
        assert "evil@evil.example" not in delivery.recipients
        assert delivery.message["Bcc"] is None
        assert "\n" not in delivery.message["Subject"]
