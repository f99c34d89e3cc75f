from datetime import date

from django.db import migrations

NATIONAL, STATE, COURT = 'NATIONAL', 'STATE', 'COURT'

#: 2026 as the TJMS published it (Portaria 983, of 4 December 2025: 30 October, the four bridging days and Campo Grande's
#: own day are in it); 2027 and 2028 by the laws alone, until the court's portaria of each year is known.
#: The recess: Resolução CNJ 244/2016 and Lei estadual 3.056/2005. 11 October: the State's day. 20 November: Lei
#: 14.759/2023. Carnival and Corpus Christi are no national holidays: the court does not work on them.
HOLIDAYS = [
    ('2026-01-01', '2026-01-01', 'Confraternização Universal', NATIONAL),
    ('2026-01-01', '2026-01-06', 'Recesso forense de janeiro', COURT),
    ('2026-02-16', '2026-02-16', 'Segunda-feira de Carnaval', COURT),
    ('2026-02-17', '2026-02-17', 'Terça-feira de Carnaval', COURT),
    ('2026-02-18', '2026-02-18', 'Quarta-feira de Cinzas', COURT),
    ('2026-04-02', '2026-04-02', 'Quinta-feira Santa', COURT),
    ('2026-04-03', '2026-04-03', 'Sexta-feira Santa', NATIONAL),
    ('2026-04-20', '2026-04-20', 'Ponto facultativo, véspera de Tiradentes', COURT),
    ('2026-04-21', '2026-04-21', 'Tiradentes', NATIONAL),
    ('2026-05-01', '2026-05-01', 'Dia do Trabalho', NATIONAL),
    ('2026-06-04', '2026-06-04', 'Corpus Christi', COURT),
    ('2026-06-05', '2026-06-05', 'Ponto facultativo, depois de Corpus Christi', COURT),
    ('2026-06-13', '2026-06-13', 'Santo Antônio, padroeiro de Campo Grande', COURT),
    ('2026-08-10', '2026-08-10', 'Ponto facultativo, véspera da Instituição dos Cursos Jurídicos', COURT),
    ('2026-08-11', '2026-08-11', 'Instituição dos Cursos Jurídicos', COURT),
    ('2026-08-26', '2026-08-26', 'Aniversário de Campo Grande', COURT),
    ('2026-09-07', '2026-09-07', 'Independência do Brasil', NATIONAL),
    ('2026-10-11', '2026-10-11', 'Criação do Estado de Mato Grosso do Sul', STATE),
    ('2026-10-12', '2026-10-12', 'Nossa Senhora Aparecida', NATIONAL),
    ('2026-10-30', '2026-10-30', 'Dia do Servidor Público', COURT),
    ('2026-11-02', '2026-11-02', 'Finados', NATIONAL),
    ('2026-11-15', '2026-11-15', 'Proclamação da República', NATIONAL),
    ('2026-11-20', '2026-11-20', 'Dia da Consciência Negra', NATIONAL),
    ('2026-12-07', '2026-12-07', 'Ponto facultativo, véspera do Dia da Justiça', COURT),
    ('2026-12-08', '2026-12-08', 'Dia da Justiça', COURT),
    ('2026-12-20', '2026-12-31', 'Recesso forense de dezembro', COURT),
    ('2026-12-25', '2026-12-25', 'Natal', NATIONAL),
    ('2027-01-01', '2027-01-01', 'Confraternização Universal', NATIONAL),
    ('2027-01-01', '2027-01-06', 'Recesso forense de janeiro', COURT),
    ('2027-02-08', '2027-02-08', 'Segunda-feira de Carnaval', COURT),
    ('2027-02-09', '2027-02-09', 'Terça-feira de Carnaval', COURT),
    ('2027-02-10', '2027-02-10', 'Quarta-feira de Cinzas', COURT),
    ('2027-03-25', '2027-03-25', 'Quinta-feira Santa', COURT),
    ('2027-03-26', '2027-03-26', 'Sexta-feira Santa', NATIONAL),
    ('2027-04-21', '2027-04-21', 'Tiradentes', NATIONAL),
    ('2027-05-01', '2027-05-01', 'Dia do Trabalho', NATIONAL),
    ('2027-05-27', '2027-05-27', 'Corpus Christi', COURT),
    ('2027-06-13', '2027-06-13', 'Santo Antônio, padroeiro de Campo Grande', COURT),
    ('2027-08-11', '2027-08-11', 'Instituição dos Cursos Jurídicos', COURT),
    ('2027-08-26', '2027-08-26', 'Aniversário de Campo Grande', COURT),
    ('2027-09-07', '2027-09-07', 'Independência do Brasil', NATIONAL),
    ('2027-10-11', '2027-10-11', 'Criação do Estado de Mato Grosso do Sul', STATE),
    ('2027-10-12', '2027-10-12', 'Nossa Senhora Aparecida', NATIONAL),
    ('2027-10-28', '2027-10-28', 'Dia do Servidor Público', COURT),
    ('2027-11-02', '2027-11-02', 'Finados', NATIONAL),
    ('2027-11-15', '2027-11-15', 'Proclamação da República', NATIONAL),
    ('2027-11-20', '2027-11-20', 'Dia da Consciência Negra', NATIONAL),
    ('2027-12-08', '2027-12-08', 'Dia da Justiça', COURT),
    ('2027-12-20', '2027-12-31', 'Recesso forense de dezembro', COURT),
    ('2027-12-25', '2027-12-25', 'Natal', NATIONAL),
    ('2028-01-01', '2028-01-01', 'Confraternização Universal', NATIONAL),
    ('2028-01-01', '2028-01-06', 'Recesso forense de janeiro', COURT),
    ('2028-02-28', '2028-02-28', 'Segunda-feira de Carnaval', COURT),
    ('2028-02-29', '2028-02-29', 'Terça-feira de Carnaval', COURT),
    ('2028-03-01', '2028-03-01', 'Quarta-feira de Cinzas', COURT),
    ('2028-04-13', '2028-04-13', 'Quinta-feira Santa', COURT),
    ('2028-04-14', '2028-04-14', 'Sexta-feira Santa', NATIONAL),
    ('2028-04-21', '2028-04-21', 'Tiradentes', NATIONAL),
    ('2028-05-01', '2028-05-01', 'Dia do Trabalho', NATIONAL),
    ('2028-06-13', '2028-06-13', 'Santo Antônio, padroeiro de Campo Grande', COURT),
    ('2028-06-15', '2028-06-15', 'Corpus Christi', COURT),
    ('2028-08-11', '2028-08-11', 'Instituição dos Cursos Jurídicos', COURT),
    ('2028-08-26', '2028-08-26', 'Aniversário de Campo Grande', COURT),
    ('2028-09-07', '2028-09-07', 'Independência do Brasil', NATIONAL),
    ('2028-10-11', '2028-10-11', 'Criação do Estado de Mato Grosso do Sul', STATE),
    ('2028-10-12', '2028-10-12', 'Nossa Senhora Aparecida', NATIONAL),
    ('2028-10-28', '2028-10-28', 'Dia do Servidor Público', COURT),
    ('2028-11-02', '2028-11-02', 'Finados', NATIONAL),
    ('2028-11-15', '2028-11-15', 'Proclamação da República', NATIONAL),
    ('2028-11-20', '2028-11-20', 'Dia da Consciência Negra', NATIONAL),
    ('2028-12-08', '2028-12-08', 'Dia da Justiça', COURT),
    ('2028-12-20', '2028-12-31', 'Recesso forense de dezembro', COURT),
    ('2028-12-25', '2028-12-25', 'Natal', NATIONAL),
]


def list_holidays(apps, schema_editor):
    """What is there already stays as it is."""
    holiday = apps.get_model('requests_app', 'Holiday')
    rows = [
        holiday(starts_on=date.fromisoformat(first), ends_on=date.fromisoformat(last), name=name, scope=scope)
        for first, last, name, scope in HOLIDAYS
    ]
    holiday.objects.using(schema_editor.connection.alias).bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):

    dependencies = [
        ('requests_app', '0005_approvers_desk'),
    ]

    operations = [
        migrations.RunPython(list_holidays, migrations.RunPython.noop),
    ]
