from django.db import migrations, models


class Migration(migrations.Migration):
    """One more index of history.py, and one less that nobody asks: that of the foreign key is left."""

    dependencies = [
        ("executions", "0003_lists_at_a_constant_price"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["robot", "status", "failure_reason", "origin", "id"],
                name="execution_of_robot_by_kind",
            ),
        ),
        migrations.RemoveIndex(
            model_name="execution",
            name="execution_by_space",
        ),
    ]
