"""The addresses of DESIGN §4 that belong to requests."""

from __future__ import annotations

from django.urls import path

from . import attachment_views, views, views_unit

urlpatterns = [
    path("", views.home, name="home"),
    path("orientacoes/", views.guidance, name="guidance"),
    path("solicitacoes/", views.RequestList.as_view(), name="request-list"),
    path("solicitacoes/nova/", views.RequestCreate.as_view(), name="request-create"),
    path("solicitacoes/<str:protocol>/", views.RequestDetail.as_view(), name="request-detail"),
    path("solicitacoes/<str:protocol>/corrigir/", views.RequestCorrect.as_view(), name="request-correct"),
    path("solicitacoes/<str:protocol>/cancelar/", views.RequestCancel.as_view(), name="request-cancel"),
    path("unidade/acessos/", views_unit.UnitAccessList.as_view(), name="unit-accesses"),
    path("unidade/acessos/<int:grant>/encerrar/", views_unit.UnitAccessEnd.as_view(), name="unit-access-end"),
    path(
        "solicitacoes/<str:protocol>/anexos/<int:pk>/",
        attachment_views.AttachmentDownload.as_view(),
        name="request-attachment",
    ),
]
