"""The addresses of DESIGN §4 that belong to people and doors."""

from __future__ import annotations

from django.urls import path

from .views import account, door, people, reset

urlpatterns = [
    path("entrar/", door.Login.as_view(), name="login"),
    path("entrar/certificado/", door.Certificate.as_view(), name="certificate"),
    path("sair/", door.Logout.as_view(), name="logout"),
    path("esqueci-a-senha/", reset.ForgotPassword.as_view(), name="password-reset"),
    path("esqueci-a-senha/enviado/", reset.ForgotPasswordSent.as_view(), name="password-reset-sent"),
    path("redefinir-senha/nova/", reset.PasswordResetNew.as_view(), name="password-reset-new"),
    path("redefinir-senha/<str:uid>/<str:token>/", reset.PasswordResetLink.as_view(), name="password-reset-link"),
    path("senha-alterada/", reset.PasswordResetDone.as_view(), name="password-reset-done"),
    path("conta/", account.Account.as_view(), name="account"),
    path("conta/alterar-senha/", account.PasswordChange.as_view(), name="password-change"),
    path("pessoas/busca/", people.PeopleSearch.as_view(), name="people-search"),
]
