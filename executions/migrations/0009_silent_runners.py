import django.core.validators
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("executions", "0008_runner_tokens")]

    operations = [
        migrations.AlterField(
            model_name="runlimit",
            name="most",
            field=models.PositiveIntegerField(
                help_text="0 lets nothing start, until the number is raised or the limit deleted. Of a robot, the "
                "smaller one holds of this and what its version says of itself.",
                validators=[django.core.validators.MaxValueValidator(100000)],
                verbose_name="runs at once",
            ),
        ),
        migrations.AddIndex(
            model_name="runner",
            index=models.Index(
                fields=["stopped_at", "heartbeat_at"], name="runner_by_sign_of_life"
            ),
        ),
        migrations.AlterField(
            model_name="runner",
            name="heartbeat_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, verbose_name="last heartbeat"
            ),
        ),
    ]
