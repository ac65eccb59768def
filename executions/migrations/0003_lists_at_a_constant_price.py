from django.db import migrations, models


class Migration(migrations.Migration):
    """The indexes of history.py. MariaDB and MySQL build them while runs go on; the one that is left goes last."""

    dependencies = [
        ("executions", "0002_segments_and_retention"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["requested_at"], name="execution_by_time"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["robot", "id"], name="execution_of_robot"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["robot", "status", "id"], name="execution_of_robot_by_status"
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["requested_by", "robot", "status", "id"], name="execution_of_requester"
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["status", "failure_reason", "origin", "id"], name="execution_of_kind"
            ),
        ),
        migrations.RemoveIndex(
            model_name="execution",
            name="execution_by_robot",
        ),
    ]
