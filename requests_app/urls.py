"""The addresses of DESIGN §4 that belong to requests."""

from __future__ import annotations

from django.urls import path

from . import attachment_views, draft_views, known_views, own_views, views, views_several, views_unit

urlpatterns = [
    path("", views.home, name="home"),
    path("orientacoes/", views.guidance, name="guidance"),
    path("solicitacoes/", own_views.RequestList.as_view(), name="request-list"),
    path("solicitacoes/nova/", views.RequestCreate.as_view(), name="request-create"),
    path("solicitacoes/nova/ja-existe/", known_views.RequestKnown.as_view(), name="request-known"),
    path("rascunho/", draft_views.DraftKeep.as_view(), name="draft"),
    path("rascunho/descartar/", draft_views.DraftDiscard.as_view(), name="draft-discard"),
    path("solicitacoes/varias/", views_several.SeveralCreate.as_view(), name="request-several"),
    path("solicitacoes/varias/<int:joint>/", views_several.JointDetail.as_view(), name="joint-detail"),
    path("solicitacoes/<str:protocol>/", views.RequestDetail.as_view(), name="request-detail"),
    path("solicitacoes/<str:protocol>/corrigir/", views.RequestCorrect.as_view(), name="request-correct"),
    path("solicitacoes/<str:protocol>/cancelar/", views.RequestCancel.as_view(), name="request-cancel"),
    path("solicitacoes/<str:protocol>/lembrar/", own_views.RequestRemind.as_view(), name="request-remind"),
    path("acessos/", own_views.AccessList.as_view(), name="access-list"),
    path("acessos/<int:access>/encerrar/", own_views.AccessEnd.as_view(), name="access-end"),
    path("unidade/acessos/", views_unit.UnitAccessList.as_view(), name="unit-accesses"),
    path("unidade/acessos/<int:grant>/encerrar/", views_unit.UnitAccessEnd.as_view(), name="unit-access-end"),
    path(
        "solicitacoes/<str:protocol>/anexos/<int:pk>/",
        attachment_views.AttachmentDownload.as_view(),
        name="request-attachment",
    ),
]
