from django.db import migrations


class Migration(migrations.Migration):
    """Nothing to do: after each ``migrate`` the staff's groups are as ``requests_app.groups`` has them."""

    dependencies = [
        ('requests_app', '0007_reason_templates'),
    ]

    operations = []
