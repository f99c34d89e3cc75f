"""The texts that a Coordenadoria needs from its first day. Gestão edits them; one that is there already stays as it is."""

from django.db import migrations

#: decision, title, text, norm
STARTERS = (
    (
        "RETURNED",
        "Falta o ato de designação",
        "Informe o número e a data do ato que designou a pessoa para esta unidade ou tarefa.",
        "",
    ),
    (
        "RETURNED",
        "Finalidade pouco clara",
        "Explique para que o acesso será usado no trabalho. Diga a tarefa e a unidade.",
        "Lei nº 13.709/2018 (LGPD), art. 6º, I",
    ),
    (
        "REJECTED",
        "Perfil maior que o necessário",
        "O perfil pedido dá mais acesso do que o trabalho descrito precisa. Faça outro pedido, com um perfil menor.",
        "Lei nº 13.709/2018 (LGPD), art. 6º, III",
    ),
    (
        "REJECTED",
        "Perfil só para magistrados",
        "Este perfil é só para magistrados. Se precisar, faça outro pedido com o perfil de servidor.",
        "",
    ),
    (
        "REJECTED",
        "A pessoa já tem este acesso",
        "A pessoa já tem este acesso no outro sistema. Se ela não consegue entrar, ligue para a Coordenadoria.",
        "",
    ),
)


def add_starters(apps, schema_editor):
    templates = apps.get_model("requests_app", "ReasonTemplate").objects.using(schema_editor.connection.alias)
    for decision, title, text, norm in STARTERS:
        templates.get_or_create(decision=decision, title=title, system=None, defaults={"text": text, "norm": norm})


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0006_holidays")]
    #: Backwards they stay: the table goes with the migration that made it.
    operations = [migrations.RunPython(add_starters, migrations.RunPython.noop)]
