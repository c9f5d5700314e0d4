from django.db import migrations, models

from entities.live_indexes import AddLiveIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('entities', '0005_removals'),
        ('intelligence', '0008_people_lists'),
    ]

    operations = [
        AddLiveIndex(
            model_name='face',
            index=models.Index(models.F('known_person'), models.OrderBy(models.F('quality'), descending=True), models.F('id'), models.F('entity'), name='face_of_person'),
        ),
        migrations.RemoveIndex(
            model_name='face',
            name='face_best_of_person',
        ),
    ]
