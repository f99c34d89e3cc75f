from django.db import migrations

#: As files of personnel write them beside the forms of 0008: name, folded, whether a magistrate's, whether it heads a
#: unit. "Chefe de Cartório" is one word for all.
CARGOS = [
    ('Desembargadora', 'desembargadora', True, True),
    ('Juíza de Direito', 'juiza de direito', True, True),
    ('Juíza Substituta', 'juiza substituta', True, True),
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
        ('requests_app', '0011_size_of_a_court'),
    ]

    operations = [
        migrations.RunPython(add_cargos, migrations.RunPython.noop),
    ]
