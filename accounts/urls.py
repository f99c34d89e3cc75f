"""The addresses of DESIGN §4 that belong to people and doors."""

from __future__ import annotations

from django.urls import path

from .views import account, door, people, privacy, reset, second_factor, sessions, terms

urlpatterns = [
    path("entrar/", door.Login.as_view(), name="login"),
    path("entrar/certificado/", door.Certificate.as_view(), name="certificate"),
    path("entrar/codigo/", second_factor.SecondFactor.as_view(), name="second-factor"),
    path("sair/", door.Logout.as_view(), name="logout"),
    path("esqueci-a-senha/", reset.ForgotPassword.as_view(), name="password-reset"),
    path("esqueci-a-senha/enviado/", reset.ForgotPasswordSent.as_view(), name="password-reset-sent"),
    path("redefinir-senha/nova/", reset.PasswordResetNew.as_view(), name="password-reset-new"),
    path("redefinir-senha/<str:uid>/<str:token>/", reset.PasswordResetLink.as_view(), name="password-reset-link"),
    # As some mail programs open it. A redirect to the slash would name the token once more.
    path("redefinir-senha/<str:uid>/<str:token>", reset.PasswordResetLink.as_view(), name="password-reset-link-cut"),
    path("senha-alterada/", reset.PasswordResetDone.as_view(), name="password-reset-done"),
    path("conta/", account.Account.as_view(), name="account"),
    path("conta/alterar-senha/", account.PasswordChange.as_view(), name="password-change"),
    path("conta/segundo-fator/", second_factor.SecondFactorSettings.as_view(), name="second-factor-settings"),
    path("conta/segundo-fator/ligar/", second_factor.SecondFactorStart.as_view(), name="second-factor-start"),
    path("conta/segundo-fator/celular/", second_factor.SecondFactorNew.as_view(), name="second-factor-new"),
    path("conta/segundo-fator/codigos/", second_factor.SecondFactorCodes.as_view(), name="second-factor-codes"),
    path("conta/segundo-fator/desligar/", second_factor.SecondFactorOff.as_view(), name="second-factor-off"),
    path("conta/sessoes/", sessions.SessionList.as_view(), name="sessions"),
    path("conta/sessoes/encerrar-outras/", sessions.SessionEndOthers.as_view(), name="session-end-others"),
    path("conta/sessoes/uso/", sessions.SessionUse.as_view(), name="session-use"),
    path("conta/sessoes/<uuid:mark>/encerrar/", sessions.SessionEnd.as_view(), name="session-end"),
    path("conta/meus-dados/", privacy.MyData.as_view(), name="my-data"),
    path("conta/meus-dados/arquivo/", privacy.MyDataFile.as_view(), name="my-data-file"),
    path("conta/meus-dados/<str:name>/", privacy.MyDataSection.as_view(), name="my-data-section"),
    path("termo/", terms.ReadTerm.as_view(), name="term"),
    path("termo/<int:version>/", terms.ReadTermVersion.as_view(), name="term-version"),
    path("privacidade/", privacy.PrivacyNotice.as_view(), name="privacy"),
    path("pessoas/busca/", people.PeopleSearch.as_view(), name="people-search"),
]
