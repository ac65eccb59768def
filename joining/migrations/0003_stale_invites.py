from django.db import migrations, models


class Migration(migrations.Migration):
    """Sweeps look for invites whose time is over, again and again: most often there is none."""

    dependencies = [("joining", "0002_open_invites_of_a_user")]

    operations = [
        migrations.AddIndex(
            "invite", models.Index(fields=["status", "expire_time"], name="invite_stale")
        )
    ]
