"""The catalogues are whole, and what a Chinese reader gets is Chinese."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from babel.messages import Message
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils.translation.trans_real import DjangoTranslation
from rest_framework.test import APIClient

from accounts.actors import Actor
from accounts.models import ApiKey, User
from executions import lifecycle
from executions.choices import FailureReason, Status
from executions.events import Source, read_page
from executions.lifecycle import Ending
from executions.models import Artifact, Execution, RunLimit, Runner, SpaceRetention, SpaceShare
from joining import services as joining
from joining.models import Application, Invite, InviteRole
from robots.models import Robot
from scripts.messages import ADMIN, ADMIN_JS, OURS, Collection, parsed
from sharing import services as sharing
from sharing.models import Share
from spaces.models import Space, SpaceKey
from tests.access.rules import ADMIN_PAGES
from tests.factories import make_execution, make_robot, make_user
from tests.interop.wire import answer_of, post
from tests.people.test_drawing import everywhere

CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"%[sd]|%\(\w+\)[a-z]|\{\w*\}|<[^>]+>")
#: Said alike in both languages.
SAME = {"API", "ID", "SHA-256", "null"}
CATALOGUES = {"ours": OURS, "admin": ADMIN, "admin's scripts": ADMIN_JS}
every = pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)


def entries(catalogue: Collection) -> list[Message]:
    return [each for each in parsed(catalogue.path) if each.id]


def english(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def chinese(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


@every
def test_every_string_of_the_sources_is_in_the_catalogue(
    catalogue: Collection, tmp_path: Path
) -> None:
    """`make messages` collects what is missing and drops what is gone."""
    collected = tmp_path / "collected.po"
    collected.write_text(catalogue.collect(), encoding="utf-8")
    now = {(each.context, each.id) for each in parsed(collected) if each.id}
    assert now == {(each.context, each.id) for each in entries(catalogue)}


@every
def test_every_string_is_translated(catalogue: Collection) -> None:
    text = catalogue.path.read_text(encoding="utf-8")
    assert not re.search(r"^#(~|.*\bfuzzy\b)", text, re.MULTILINE)
    for message in entries(catalogue):
        for said in chinese(message):
            words = PLACEHOLDER.sub("", said).strip(" /·")
            assert not words or words in SAME or CHINESE.search(words), message.id


@every
def test_placeholders_are_kept(catalogue: Collection) -> None:
    for message in entries(catalogue):
        wanted = sorted(PLACEHOLDER.findall(english(message)[-1]))
        for said in chinese(message):
            assert sorted(PLACEHOLDER.findall(said)) == wanted, message.id


@every
def test_django_speaks_what_the_catalogue_says(catalogue: Collection) -> None:
    """The compiled catalogues are those that setup.sh makes, and they are found."""
    spoken = DjangoTranslation("zh-hans", domain=catalogue.domain)
    # Our own word for something is taken before the libraries'.
    ours = {each.id for each in entries(OURS)} if catalogue is ADMIN else set()
    for message in entries(catalogue):
        if message.id in ours:
            continue
        if isinstance(message.id, tuple):
            said = spoken.ngettext(*message.id, 2)
        elif message.context:
            said = spoken.pgettext(message.context, message.id)
        else:
            said = spoken.gettext(message.id)
        assert said == chinese(message)[-1], "Compile it: scripts/setup.sh run"


class Words(HTMLParser):
    """The texts of a page that a person reads or hears. Code, icons and what a robot said are none."""

    QUIET = frozenset({"script", "style", "code", "pre", "kbd", "textarea"})
    SPOKEN = frozenset({"title", "alt", "placeholder", "aria-label"})
    VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "use", "path"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._open: list[tuple[str, bool]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in self.VOID:
            icon = "material-symbols-outlined" in given.get("class", "")
            self._open.append((tag, icon or tag in self.QUIET))
        for name in self.SPOKEN & given.keys():
            self._add(given[name])

    def handle_endtag(self, tag: str) -> None:
        while any(tag == each for each, _quiet in self._open) and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(quiet for _tag, quiet in self._open):
            self._add(data)

    def _add(self, text: str) -> None:
        if re.search("[A-Za-z]{2}", text):
            self.found.add(" ".join(text.split()))


#: What people and machines named, and the names that are alike in both languages.
DATA = re.compile(
    r"""([Aa]lice|[Bb]ob|[Cc]harlie|[Dd]ora|root)(@example\.org)?(\ @\ .+)?
    | Acme | Other | Orders(:\ [27])? | Charlie's | Dora's | [Gg]reeter(\ v1|:\ 3)? | [Dd]efault | script | robot | robot\.py
    | [Rr]eport\.pdf | [Kk]ey(\ \(0badcafe…\))? | [Hh]ost(:7)? | English | API | SHA-256
    | [Aa]lice | Bob | Dora | :\ md5 | :\ \w+\*+        # a user and their password's summary
    | [Aa]pi_key | [Aa]pplication | enterprise | execution | invite | member | secret | share | space | manage
    | [A-Za-z][a-z_]+\.[a-z_]+             # a permission's key
    | [\w/-]*[0-9A-Fa-f]{8}[0-9a-f…-]*     # an id, a digest, a place in storage
    | \d{4}-\d\d-\d\d\ [\d:]+\ UTC
    | /static/\S+ | /rpa/v1
    """,
    re.VERBOSE,
)


Browsing = Callable[[str], Client]


@pytest.fixture
def reader(people: dict[str, User]) -> Browsing:
    """`reader("root")` is their browser; the operator is root."""
    make_user("root", is_staff=True, is_superuser=True)

    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(User.objects.get(username=name))
        return client

    return signed_in


@pytest.fixture
def lived_in(robot: Robot) -> Robot:
    """Something of everything, with a run in every state."""
    owner = User.objects.get(username="alice")
    ApiKey.objects.create(user=owner, name="key", prefix="0badcafe", digest="0badcafe")
    held = {"name": "key", "prefix": "0badcafe", "digest": "1badcafe", "bound": True}
    key = ApiKey.objects.create(user=owner, scopes=["*"], **held)
    SpaceKey.objects.create(key=key, space=robot.space)
    Group.objects.create(name="key")
    Runner.objects.create(host="host", pid=7, slots=2)
    SpaceRetention.objects.create(space=robot.space, days=7)
    RunLimit.objects.create(robot=robot, most=3)
    SpaceShare.objects.create(space=robot.space, weight=2)
    bob, dora = (User.objects.get(username=name) for name in ("bob", "dora"))
    joining.invite_user(robot.space, dora.uid, InviteRole.MEMBER, by=Actor(owner))
    sharing.share(robot, by=Actor(owner))
    Application.objects.create(enterprise=robot.space.enterprise, space=robot.space, applicant=bob)
    for failure in (None, *FailureReason):
        execution = make_execution(robot)
        lifecycle.start(execution, Source("", 0, 0))
        status = Status.FAILED if failure else Status.COMPLETED
        lifecycle.finish(execution.pk, Ending(status, failure or ""))
        Artifact.objects.create(execution=execution, name="report.pdf", size=3)
    lifecycle.start(make_execution(robot), Source("", 0, 0))
    make_execution(robot)
    return robot


def pages(robot: Robot) -> Iterator[str]:
    yield from (reverse(name) for name in ("home", "robots", "robot-new", "executions"))
    yield from (reverse(name, args=[robot.uid]) for name in ("robot", "robot-run"))
    yield from (f"{reverse(name)}?q=nothing" for name in ("robots", "executions"))
    yield from everywhere(robot.space)
    yield f"{reverse('people:space-invite', args=[robot.space_id])}?q=charlie"
    yield f"{reverse('people:applications')}?all=1"
    yield reverse("sharing:robot-share", args=[robot.uid])
    for share in Share.objects.all():
        yield reverse("sharing:shared", args=[share.share_key])
    for execution in Execution.objects.all():
        yield reverse("execution", args=[execution.uid])
        yield reverse("execution-rerun-form", args=[execution.uid])
    for name in ("account", "account_change_password", "mfa_index", "sessions", "keys"):
        yield reverse(name)
    yield reverse("account_reauthenticate")
    yield "/nowhere/"


def admin_pages() -> Iterator[str]:
    yield reverse("admin:index")
    for name, needs in ADMIN_PAGES.items():
        if not needs and not name.endswith("_export"):
            yield reverse(f"admin:{name}")
    for model in admin.site._registry:
        options = model._meta
        start = f"admin:{options.app_label}_{options.model_name}"
        row = model._default_manager.first()
        assert row is not None, model
        yield reverse(f"{start}_changelist")
        yield f"{reverse(f'{start}_changelist')}?q=nothing"
        yield reverse(f"{start}_add")
        yield from (
            reverse(f"{start}_{name}", args=[row.pk]) for name in ("change", "delete", "history")
        )


def untranslated(client: Client, paths: Iterator[str]) -> dict[str, str]:
    """The texts that are alike in both languages though no name of anything, each with a page."""
    found: dict[str, str] = {}
    for path in paths:
        both_ways = [
            Words(client.get(path, headers={"Accept-Language": language}).content.decode()).found
            for language in ("en", "zh-CN,zh;q=0.9")
        ]
        assert both_ways[0], path
        alike = both_ways[0] & both_ways[1]
        found |= {text: path for text in alike if not DATA.fullmatch(text)}
    return found


@pytest.mark.django_db
def test_every_page_is_chinese(lived_in: Robot, reader: Browsing) -> None:
    assert untranslated(reader("alice"), pages(lived_in)) == {}
    assert untranslated(reader("charlie"), pages(lived_in)) == {}  # sees nothing of it
    invited = [reverse("people:invitation", args=[each.token]) for each in Invite.objects.all()]
    assert untranslated(reader("dora"), iter([reverse("people:invitations"), *invited])) == {}
    assert untranslated(Client(), iter([reverse("account_login"), "/nowhere/"])) == {}


@pytest.mark.django_db
def test_the_admin_is_chinese(lived_in: Robot, reader: Browsing) -> None:
    assert untranslated(reader("root"), admin_pages()) == {}


@pytest.mark.django_db
def test_no_string_of_the_catalogue_is_left_in_english(lived_in: Robot, reader: Browsing) -> None:
    """Also where the rest of the sentence is data."""
    sentences = [
        re.compile(".+".join(map(re.escape, PLACEHOLDER.split(english(each)[0]))))
        for each in entries(OURS)
        if len(english(each)[0].split()) > 2
    ]
    headers = {"Accept-Language": "zh-hans"}
    for path in pages(lived_in):
        page = reader("alice").get(path, headers=headers).content.decode()
        for text in Words(page).found:
            assert not any(each.fullmatch(text) for each in sentences), (path, text)


@pytest.mark.django_db
def test_refusals_are_chinese(lived_in: Robot, api: Callable[[User], APIClient]) -> None:
    client = api(User.objects.get(username="alice"))
    client.credentials(HTTP_ACCEPT_LANGUAGE="zh-hans")
    runs, robot = reverse("execution-list"), str(lived_in.uid)
    space = Space.objects.get(name="Orders").pk
    package = SimpleUploadedFile("robot.zip", b"PK no zip")
    answers = [
        client.get("/api/v1/nowhere/"),
        client.get(reverse("execution-detail", args=["00000000-0000-4000-8000-000000000000"])),
        client.post(runs, {}),
        client.post(runs, {"robot": robot, "timeout": 0}),
        client.post(runs, {"robot": robot, "task": "none"}),
        client.post(runs, {"robot": robot, "version": 9}),
        client.post(runs, "{", content_type="application/json"),
        client.put(runs, {}),
        client.post(f"{runs}{Execution.objects.earliest('pk').uid}/cancel/"),
        client.post(reverse("api-robot-list"), {"space": space, "name": "greeter"}),
        client.post(
            f"{reverse('api-robot-detail', args=[robot])}versions/",
            {"package": package},
            "multipart",
        ),
        APIClient().get(runs, headers={"Accept-Language": "zh-hans"}),
    ]
    for answer in answers:
        assert answer.status_code >= 400, answer.content
        body = answer.json()
        assert CHINESE.search(body["detail"]), (answer.request, body)
        for each in body.get("errors", []):
            assert CHINESE.search(each["message"]), each


@pytest.fixture
def chinese_installation(settings: Any) -> None:
    settings.LANGUAGE_CODE = "zh-hans"


@pytest.mark.django_db(transaction=True)
def test_the_wire_of_programs_stays_english(
    chinese_installation: None, people: dict[str, User], robot: Robot
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    robot.versions.update(parameters=schema)
    token = ApiKey.issue(user=people["alice"], name="workflow")[1]
    body = {"project_id": str(robot.uid), "params": {"n": "1"}}
    answer = answer_of(async_to_sync(post)(body, token=token, accept_language="zh-hans"))
    said = "Create task error, detail: The parameters do not fit: n: It must be a whole number."
    assert answer["message"] == said


def test_what_a_stream_says_is_the_same_for_every_reader(
    chinese_installation: None, space: Space, finished: Callable[[Execution], Execution]
) -> None:
    robot = make_robot(space, source='open("result.json", "w").write("{")\n')
    execution = finished(make_execution(robot))
    said = "".join(each.text for each in read_page(execution.pk, after=0))
    assert "It is not valid JSON (line 1, column 2)." in said
    assert not CHINESE.search(said + execution.message)
