"""Django's migrations, as `migrate` applies and unapplies them, and models that use what they made."""
import io
import os
import sys
import tempfile
import textwrap
import threading

import django
from django.conf import settings

from cases import case, must, only, run, say

CONN = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}
PATH = "-c search_path=django_,public"
FOLDER = tempfile.TemporaryDirectory()
STEPS = {
    "0001_first": """
        operations = [
            migrations.CreateModel("Author", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=40, unique=True)), ("n", models.IntegerField(default=0, db_index=True))]),
            migrations.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)), ("title", models.TextField()), ("author", models.ForeignKey("shop.Author", models.CASCADE, related_name="books")), ("tags", ArrayField(models.TextField(), default=list)), ("data", models.JSONField(null=True))]),
        ]""",
    "0002_rows": """
        def fill(apps, editor):
            Author = apps.get_model("shop", "Author")
            Author.objects.bulk_create([Author(name=f"a{i}", n=i) for i in range(20)], batch_size=7)
            Author.objects.filter(n__gt=10).update(n=models.F("n") * 2)
            for a in Author.objects.order_by("id")[:3]:
                a.books.create(title=f"by {a.name}", tags=["x", a.name], data={"n": a.n})
        operations = [migrations.RunPython(fill, lambda apps, editor: apps.get_model("shop", "Author").objects.all().delete())]""",
    "0003_alter": """
        operations = [
            migrations.AddField("author", "mood", models.CharField(max_length=10, default="ok")),
            migrations.AlterField("author", "n", models.BigIntegerField(null=True)),
            migrations.RenameField("book", "title", "name"),
            migrations.AddConstraint("author", models.CheckConstraint(check=models.Q(n__gte=0), name="positive")),
            migrations.AddConstraint("book", models.UniqueConstraint(fields=["name"], condition=models.Q(data__isnull=False), name="one")),
            migrations.RunSQL("create view counted as select author_id, count(*) as books from shop_book group by 1", "drop view counted"),
        ]""",
    "0004_beside": """
        atomic = False
        operations = [AddIndexConcurrently("author", models.Index(fields=["mood", "-n"], name="beside")), AddIndexConcurrently("book", GinIndex(fields=["tags"], name="tagged"))]""",
    "0005_broken": """
        operations = [migrations.CreateModel("Half", [("id", models.BigAutoField(primary_key=True))]), migrations.RunSQL("select 1/0")]""",
}


def project():
    base = os.path.join(FOLDER.name, "shop", "migrations")
    os.makedirs(base)
    for f in (os.path.join(FOLDER.name, "shop", "__init__.py"), os.path.join(base, "__init__.py")):
        open(f, "w").close()
    before = []
    for name, text in STEPS.items():
        with open(os.path.join(base, name + ".py"), "w") as f:
            f.write("from django.db import migrations, models\nfrom django.contrib.postgres.fields import ArrayField\nfrom django.contrib.postgres.indexes import GinIndex\nfrom django.contrib.postgres.operations import AddIndexConcurrently\n\n")
            f.write(f"class Migration(migrations.Migration):\n    dependencies = {before}\n" + textwrap.indent(textwrap.dedent(text), "    "))
        before = [("shop", name)]
    with open(os.path.join(FOLDER.name, "shop", "models.py"), "w") as f:
        f.write(textwrap.dedent("""
            from django.contrib.postgres.fields import ArrayField
            from django.db import models
            class Author(models.Model):
                id = models.BigAutoField(primary_key=True)
                name = models.CharField(max_length=40, unique=True)
                n = models.BigIntegerField(null=True)
                mood = models.CharField(max_length=10, default="ok")
            class Book(models.Model):
                id = models.BigAutoField(primary_key=True)
                name = models.TextField()
                author = models.ForeignKey(Author, models.CASCADE, related_name="books")
                tags = ArrayField(models.TextField(), default=list)
                data = models.JSONField(null=True)
            class Counted(models.Model):
                author = models.OneToOneField(Author, models.DO_NOTHING, primary_key=True)
                books = models.IntegerField()
                class Meta:
                    managed = False
                    db_table = "counted"
            """))


project()
sys.path.insert(0, FOLDER.name)
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
                   DATABASES={"default": {**CONN, "OPTIONS": {"options": PATH}}, "admin": {**CONN, "OPTIONS": {"options": PATH + " -c meridian.consistency=global"}}})
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.db.utils import DatabaseError  # noqa: E402


def rows(c, q):
    with c.cursor() as cur:
        cur.execute(q)
        return cur.fetchall()


def structure(c):
    say(rows(c, "select table_name::text, column_name::text, data_type::text, is_nullable::text from information_schema.columns where table_schema='django_' and table_name ~ '^(shop|counted|django_m)' order by 1, ordinal_position"))
    say(rows(c, "select regexp_replace(indexdef, '_[0-9a-f]{8}', '_N', 'g') from pg_indexes where schemaname='django_' and tablename ~ '^shop' order by 1"))


def clean(c):
    with c.cursor() as cur:
        cur.execute("set client_min_messages to error; drop schema if exists django_ cascade; create schema django_")


def command(*args, **more):
    out = io.StringIO()
    call_command(*args, stdout=out, no_color=True, **more)
    return [line.strip() for line in out.getvalue().split("\n") if line.strip()]


@case()
def migrations_up_and_down(c):
    say(command("migrate", "shop", "0004"))
    structure(c)
    say(rows(c, "select * from counted order by 1"), command("showmigrations", "shop"))
    try:
        command("migrate", "shop")
        must(False, "no error")
    except DatabaseError as e:
        say(type(e).__name__, e.__cause__.pgcode)
    say(rows(c, "select to_regclass('shop_half')"), command("showmigrations", "shop")[-1])
    say(command("migrate", "shop", "0001"))
    structure(c)
    say(command("migrate", "shop", "zero"))
    structure(c)
    say(command("sqlmigrate", "shop", "0003"))
    say(command("migrate", "auth")[-3:], rows(c, "select count(*) from auth_permission"))


@case()
def models_above_them(c):
    from shop.models import Author, Book, Counted
    command("migrate", "shop", "0004")
    say(list(Author.objects.annotate(k=Count("books")).order_by("id").values_list("name", "n", "mood", "k")[:4]))
    a = Author.objects.create(name="new", n=1)
    with transaction.atomic():
        b = Book.objects.create(author=a, name="one", data={"x": [1]})
        try:
            with transaction.atomic():
                Author.objects.create(name="new")
        except DatabaseError as e:
            say(type(e).__name__, e.__cause__.pgcode)
        say(Author.objects.select_for_update().get(pk=a.pk).name, Book.objects.filter(data__x__contains=[1]).count())
    say(list(Counted.objects.filter(author=a).values_list("books")), Book.objects.get(pk=b.pk).author.name)
    say(Author.objects.update_or_create(name="new", defaults={"n": 5})[1], Author.objects.get_or_create(name="newer", defaults={"n": 6})[1])
    for i in range(20):
        Author.objects.filter(name="new").update(n=i)
        must(Author.objects.get(name="new").n == i, f"update {i} is not seen")
    say(len(list(Author.objects.order_by("id").iterator(chunk_size=5))), Author.objects.filter(name="new").delete())

    def add():
        for _ in range(5):
            with transaction.atomic():
                x = Author.objects.select_for_update().get(name="newer")
                x.n += 1
                x.save()
        connections.close_all()
    all_ = [threading.Thread(target=add) for _ in range(4)]
    for t in all_:
        t.start()
    for t in all_:
        t.join()
    say(rows(c, "select n from shop_author where name = 'newer'"))


only()
run(lambda: connections["admin"], lambda c: (connections.close_all()), clean)
