from django.db import migrations, models


class Migration(migrations.Migration):
    """Every page says whether invites wait: a price that must not grow with those that are over."""

    dependencies = [("joining", "0001_initial")]

    operations = [
        migrations.AddIndex(
            "invite",
            models.Index(fields=["invitee", "status", "expire_time"], name="invite_open_of_user"),
        )
    ]
