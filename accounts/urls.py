"""The addresses of DESIGN §4 that belong to people and doors."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("entrar/", views.Login.as_view(), name="login"),
    path("entrar/certificado/", views.Certificate.as_view(), name="certificate"),
    path("sair/", views.Logout.as_view(), name="logout"),
    path("esqueci-a-senha/", views.ForgotPassword.as_view(), name="password-reset"),
    path("esqueci-a-senha/enviado/", views.ForgotPasswordSent.as_view(), name="password-reset-sent"),
    path("redefinir-senha/nova/", views.PasswordResetNew.as_view(), name="password-reset-new"),
    path("redefinir-senha/<str:uid>/<str:token>/", views.PasswordResetLink.as_view(), name="password-reset-link"),
    path("senha-alterada/", views.PasswordResetDone.as_view(), name="password-reset-done"),
    path("conta/", views.Account.as_view(), name="account"),
    path("conta/alterar-senha/", views.PasswordChange.as_view(), name="password-change"),
    path("pessoas/busca/", views.PeopleSearch.as_view(), name="people-search"),
]
