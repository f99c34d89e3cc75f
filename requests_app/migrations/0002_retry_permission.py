from django.db import migrations


def let_the_staff_try_again(apps, schema_editor):
    """Groups that are there already get what new ones are made with (``requests_app.apps.GROUPS``)."""
    using = schema_editor.connection.alias
    groups = apps.get_model('auth', 'Group').objects.using(using).filter(name__in=('Análise', 'Gestão'))
    if not groups:
        return
    # Django makes the permissions of an app only after all migrations.
    content_type, _ = apps.get_model('contenttypes', 'ContentType').objects.using(using).get_or_create(
        app_label='accounts', model='outgoingmail'
    )
    permission, _ = apps.get_model('auth', 'Permission').objects.using(using).get_or_create(
        content_type=content_type, codename='retry', defaults={'name': 'Pode tentar de novo o envio'}
    )
    for group in groups:
        group.permissions.add(permission)


class Migration(migrations.Migration):

    dependencies = [
        ('requests_app', '0001_initial'),
        ('accounts', '0003_outbox_finished'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.RunPython(let_the_staff_try_again, migrations.RunPython.noop),
    ]
