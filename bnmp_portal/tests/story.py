"""The whole story, as people live it in a browser: ask, decide, receive, sign in, forget, come back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import Page, expect

PROVISIONAL = re.compile(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b")
LINK = re.compile(r"https?://\S+/redefinir-senha/\S+")
CHOSEN, CHOSEN_AGAIN, CHOSEN_AT_THE_GEAR = (
    "tuiuiú voa baixo no pantanal",
    "capivara nada de manhã cedo",
    "ipê roxo floresce em agosto",
)


@dataclass
class Person:
    cpf: str
    password: str
    #: Where the person's mails go.
    email: str
    name: str = ""


@dataclass
class Story:
    """``read_mail(address, subject)`` waits for the newest such mail and gives its text."""

    page: Page
    url: str
    servidor: Person
    analyst: Person
    beneficiary: Person
    read_mail: Callable[[str, str], str]
    #: Every secret that was in a mail or typed: none may be found anywhere afterwards.
    secrets: list[str] = field(default_factory=list)

    def tell(self) -> None:
        self.asks()
        self.decides()
        self.receives_and_signs_in()
        self.forgets_and_comes_back()
        self.changes_at_the_gear()

    # --- The steps ---------------------------------------------------------------------------------------------------
    def sign_in(self, person: Person) -> None:
        self.page.get_by_label("Usuário:").fill(person.cpf)
        self.page.get_by_label("Senha:", exact=True).fill(person.password)
        self.page.get_by_role("button", name="ENTRAR").click()

    def sign_out(self) -> None:
        self.page.get_by_role("button", name="Sair").click()
        expect(self.page.get_by_role("heading", name="Login")).to_be_visible()

    def asks(self) -> None:
        page = self.page
        page.goto(f"{self.url}/")
        page.get_by_role("link", name="Entrar", exact=True).first.click()
        self.sign_in(self.servidor)
        page.get_by_text("Sistemas", exact=True).click()
        page.get_by_role("link", name="Nova Solicitação", exact=True).first.click()
        expect(page.get_by_role("heading", name="Nova Solicitação")).to_be_visible()
        page.get_by_label("Telefone do solicitante").fill("(67) 3314-1234")
        # A part of the name, without accents, and the list does the rest.
        search = page.locator("#id_beneficiary")
        search.press_sequentially(self.beneficiary.name)
        page.get_by_role("option").first.click()
        expect(page.locator("input[name=beneficiary]")).not_to_have_value("")
        page.get_by_label("*Sistema solicitado").select_option(label="BNMP 2.0")
        page.get_by_label("*Tipo Usuário").select_option(label="Consulta")
        page.get_by_label("*Descrição solicitação").fill("Consulta de mandados de prisão no atendimento do cartório.")
        page.get_by_role("button", name="Enviar", exact=True).click()
        told = page.get_by_text(re.compile(r"Pedido enviado\. Protocolo \d{4}-\d{6}"))
        expect(told).to_be_visible()
        self.protocol = re.search(r"\d{4}-\d{6}", told.inner_text())[0]
        page.goto(f"{self.url}/solicitacoes/")
        expect(page.get_by_role("link", name=self.protocol)).to_be_visible()
        self.sign_out()
        assert self.protocol in self.read_mail(self.servidor.email, f"Pedido {self.protocol} recebido")

    def decides(self) -> None:
        page = self.page
        page.goto(f"{self.url}/admin/")
        expect(page).to_have_url(re.compile(r"/entrar/\?next=/admin/"))
        self.sign_in(self.analyst)
        page.goto(f"{self.url}/admin/requests_app/accessrequest/")
        page.get_by_role("link", name=self.protocol).click()
        expect(page.get_by_text("Consulta de mandados de prisão no atendimento do cartório.")).to_be_visible()
        page.get_by_role("button", name="Aprovar").click()
        expect(page.get_by_text(f"Solicitação {self.protocol} aprovada")).to_be_visible()
        self.sign_out()

    def receives_and_signs_in(self) -> None:
        page, person = self.page, self.beneficiary
        mail = self.read_mail(person.email, "Acesso liberado: BNMP 2.0")
        digits = person.cpf
        assert f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}" in mail
        person.password = PROVISIONAL.search(mail)[0]
        self.secrets.append(person.password)
        page.goto(f"{self.url}/entrar/")
        self.sign_in(person)
        expect(page.get_by_role("heading", name="Escolha a sua senha")).to_be_visible()
        page.goto(f"{self.url}/solicitacoes/")  # nothing else before that
        expect(page.get_by_role("heading", name="Escolha a sua senha")).to_be_visible()
        self.change_password(CHOSEN)
        self.accepts_the_term()
        page.goto(f"{self.url}/")
        expect(page.get_by_text("BNMP 2.0").first).to_be_visible()
        self.sign_out()
        told = self.read_mail(self.servidor.email, f"Acesso liberado: BNMP 2.0 (pedido {self.protocol})")
        assert not PROVISIONAL.search(told)  # who asked hears that it is done, and nothing to sign in with

    def accepts_the_term(self) -> None:
        page = self.page
        expect(page.get_by_role("heading", name="Termo de responsabilidade", level=1)).to_be_visible()
        page.goto(f"{self.url}/solicitacoes/")  # nothing else before that
        page.get_by_label("Li o termo e aceito").check()
        page.get_by_role("button", name="Aceitar e continuar").click()
        expect(page.get_by_role("heading", name="Minhas solicitações", level=1)).to_be_visible()

    def change_password(self, new: str) -> None:
        page, person = self.page, self.beneficiary
        page.get_by_label("Senha atual").fill(person.password)
        page.get_by_label("Nova Senha").fill(new)
        page.get_by_label("Repetir Senha").fill(new)
        page.get_by_role("button", name="Enviar", exact=True).click()
        expect(page.get_by_text("Senha alterada com sucesso.")).to_be_visible()
        person.password = new
        self.secrets.append(new)

    def forgets_and_comes_back(self) -> None:
        page, person = self.page, self.beneficiary
        page.get_by_role("link", name="Esqueci a senha").click()
        page.get_by_label("CPF").fill(person.cpf)
        page.get_by_label("Não sou um robô", exact=True).click()
        page.locator("altcha-widget [data-state=verified]").wait_for()
        page.get_by_role("button", name="ENVIAR").click()
        expect(page.get_by_text("Se o CPF estiver cadastrado")).to_be_visible()
        link = LINK.search(self.read_mail(person.email, "Redefinição de senha"))[0]
        assert link.startswith(self.url)
        self.secrets.append(link.rstrip("/").rpartition("/")[2])
        page.goto(link)
        expect(page.get_by_role("heading", name="Alterar Minha Senha")).to_be_visible()
        assert self.secrets[-1] not in page.url
        page.get_by_label("Nova Senha").fill(CHOSEN_AGAIN)
        page.get_by_label("Repetir Senha").fill(CHOSEN_AGAIN)
        page.get_by_role("button", name="Enviar", exact=True).click()
        expect(page.get_by_role("heading", name="Senha alterada com sucesso")).to_be_visible()
        expect(page.get_by_text("você será redirecionado para a página de login")).to_be_visible()
        expect(page.get_by_text("SAF SUL Quadra 2, Lotes 5/6")).to_be_visible()
        page.goto(link)
        expect(page.get_by_text("Este link não vale mais")).to_be_visible()
        self.secrets.append(CHOSEN_AGAIN)
        page.goto(f"{self.url}/senha-alterada/")
        page.get_by_role("link", name="Ir para a página de login").click()
        self.sign_in(person)
        self.page.get_by_text("Usuário ou senha incorretos").wait_for()  # the one before is dead
        person.password = CHOSEN_AGAIN
        self.sign_in(person)
        expect(page.get_by_role("button", name="Sair")).to_be_visible()

    def changes_at_the_gear(self) -> None:
        page = self.page
        page.get_by_role("link", name="Minha conta: alterar senha").click()
        page.get_by_role("link", name="Alterar senha", exact=True).click()
        self.change_password(CHOSEN_AT_THE_GEAR)
        self.sign_out()
        assert "alterada" in self.read_mail(self.beneficiary.email, "Sua senha foi alterada")
