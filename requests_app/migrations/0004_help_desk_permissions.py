from django.db import migrations

#: (model, codename, name as Django stores it) -> the groups that get it, as ``requests_app.apps.GROUPS`` has them.
SUPPORT = [
    ('user', 'support', 'Pode atender pessoas: enviar o link, desbloquear, encerrar sessões', ('Análise', 'Gestão')),
    ('user', 'disclose', 'Pode ver CPF e e-mail inteiros', ('Análise', 'Gestão')),
    ('user', 'support_staff', 'Pode atender também quem usa a administração', ('Gestão',)),
    ('user', 'correct_email', 'Pode corrigir o e-mail', ('Gestão',)),
    ('user', 'remove_second_factor', 'Pode pedir e confirmar a retirada do segundo fator de alguém', ('Gestão',)),
    ('term', 'view_term', 'Can view termo de responsabilidade', ('Gestão',)),
    ('term', 'add_term', 'Can add termo de responsabilidade', ('Gestão',)),
    ('termacceptance', 'view_termacceptance', 'Can view aceite do termo', ('Gestão',)),
]


def let_the_staff_help(apps, schema_editor):
    """Groups that are there already get what new ones are made with."""
    using = schema_editor.connection.alias
    groups = {group.name: group for group in apps.get_model('auth', 'Group').objects.using(using)}
    content_types = apps.get_model('contenttypes', 'ContentType').objects.using(using)
    permissions = apps.get_model('auth', 'Permission').objects.using(using)
    for model, codename, name, names in SUPPORT:
        for group in [groups[wanted] for wanted in names if wanted in groups]:
            # Django makes the permissions of an app only after all migrations.
            content_type, _ = content_types.get_or_create(app_label='accounts', model=model)
            permission, _ = permissions.get_or_create(
                content_type=content_type, codename=codename, defaults={'name': name}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):

    dependencies = [
        ('requests_app', '0003_typed_credential'),
        ('accounts', '0006_accounts_that_hold'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.RunPython(let_the_staff_help, migrations.RunPython.noop),
    ]
