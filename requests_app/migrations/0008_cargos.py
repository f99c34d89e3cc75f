from django.db import migrations

#: name, folded as searches compare it, whether a magistrate's, whether it heads a unit
CARGOS = [
    ('Desembargador', 'desembargador', True, True),
    ('Juiz de Direito', 'juiz de direito', True, True),
    ('Juiz Substituto', 'juiz substituto', True, True),
    ('Chefe de Cartório', 'chefe de cartorio', False, True),
]


def add_cargos(apps, schema_editor):
    cargos = apps.get_model('requests_app', 'Cargo').objects.using(schema_editor.connection.alias)
    for name, folded_name, is_magistrate, heads_unit in CARGOS:
        cargos.get_or_create(
            folded_name=folded_name,
            defaults={'name': name, 'is_magistrate': is_magistrate, 'heads_unit': heads_unit},
        )


class Migration(migrations.Migration):

    dependencies = [
        ('requests_app', '0007_reason_templates'),
    ]

    operations = [
        migrations.RunPython(add_cargos, migrations.RunPython.noop),
    ]
