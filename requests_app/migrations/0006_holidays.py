from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('requests_app', '0005_approvers_desk'),
    ]

    operations = []
