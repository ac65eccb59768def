"""Web pages: home, robots with their runs, the run form, lists of runs, the live page."""

import json
import secrets
import shlex
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import Actor, actor_of
from accounts.pagination import page_of
from accounts.refusals import Refused
from audit.choices import Outcome
from audit.models import Entry
from executions import services
from executions.choices import ALIVE, TERMINAL, Origin, Status
from executions.history import History, keys_of
from executions.models import Execution, robots_watched_by
from robots.forms import FormError, example_values, form_fields, read_params, read_raw
from robots.manifest import Manifest
from robots.models import Robot, RobotVersion
from robots.parameters import with_defaults
from robots.passwords import MASK, hidden_names, masked
from spaces.access import may, permissions_in, spaces_allowing
from spaces.models import Space
from spaces.working import focus_of

_RUNNING, _RECENT = 20, 10
#: Databases refuse to look for much more.
_LONGEST_SEARCH = 100
_COUNTED = 1000


def _within(space: Space | None) -> dict[str, Any]:
    """The condition of being in that space; none is any."""
    return {} if space is None else {"space": space}


def _shown(actor: Actor, **robot: Any) -> History:
    """Visible runs of such robots, with what a table of runs shows of each."""
    rows = Execution.objects.select_related("robot", "requested_by").defer("params", "result")
    return History(rows=rows, robots=keys_of(robots_watched_by(actor).filter(**robot)))


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What runs now, what ended lately, and the robots to run, in the space that the user works in."""
    actor = actor_of(request)
    space = focus_of(request)
    shown = _shown(actor, **_within(space))
    ends = [Status.FAILED, Status.COMPLETED]
    lately = timezone.now() - timedelta(days=1)
    (running, recent), found = shown.glance(
        [(ALIVE, _RUNNING), (TERMINAL, _RECENT)], [(ALIVE, None), (ends, lately)], _COUNTED + 1
    )
    context = {
        "running": running,
        "recent": recent,
        "robots": _runnable(actor, Robot.objects.visible_to(actor).filter(**_within(space)))
        .select_related("space")
        .order_by("-updated_at")[:8],
        "focus": space,
        # How many runs wait and run, and how those of the last 24 hours ended. Nobody counts beyond a thousand: the
        # page must not grow slower with history.
        "counts": {each.lower(): min(found[each], _COUNTED) for each in (*ALIVE, *ends)},
        "over": {status.lower() for status, count in found.items() if count > _COUNTED},
        # Asked by the empty page alone.
        "can_publish": lambda: spaces_allowing(actor, "robot.publish").exists(),
    }
    return render(request, "home.html", context)


def _runnable(actor: Actor, found: QuerySet[Robot]) -> QuerySet[Robot]:
    """`found`, of which each says in `may_run` whether `actor` may run robots of its space."""
    allowed = spaces_allowing(actor, "execution.run").filter(pk=OuterRef("space"))
    return found.annotate(may_run=Exists(allowed))


@login_required
@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """The robots that the user sees, newest first, with each one's last run."""
    actor = actor_of(request)
    space = focus_of(request)
    wanted = request.GET.get("q", "").strip()[:_LONGEST_SEARCH]
    found = _runnable(actor, Robot.objects.visible_to(actor).filter(**_within(space)))
    found = found.select_related("space", "enabled_version")
    if wanted:
        found = found.filter(name__icontains=wanted)
    page = page_of(found, request.GET)
    latest = _shown(actor, pk__in=[each.pk for each in page.items]).latest_of_each_robot()
    for each in page.items:
        each.last_execution = latest.get(each.pk)  # type: ignore[attr-defined]
    context = {
        "page": page.items,
        "next_url": page.next_url,
        "prev_url": page.prev_url,
        "q": wanted,
        "focus": space,
        "can_publish": spaces_allowing(actor, "robot.publish").exists(),
    }
    return render(request, "robots/list.html", context)


@login_required
@require_safe
def robot(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One robot: its versions and its recent runs."""
    actor = actor_of(request)
    found = _robot(actor, uid)
    deeds = permissions_in(actor, found.space)
    versions = list(found.versions.select_related("created_by")[:50])
    for version in versions:
        version.enabled = version.pk == found.enabled_version_id  # type: ignore[attr-defined]
    context = {
        "robot": found,
        "versions": versions,
        "recent": _shown(actor, pk=found.pk).newest(_RECENT),
        "changes": list(Entry.objects.about(found).filter(outcome=Outcome.DONE)[:_RECENT]),
        "can_publish": "robot.publish" in deeds,
        "can_run": "execution.run" in deeds,
        "can_share": "share.create" in deeds,
    }
    return render(request, "robots/detail.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def run(request: HttpRequest, uid: UUID) -> HttpResponse:
    """The run form of a robot's enabled version."""
    actor = actor_of(request)
    return _run_form(request, actor, _robot(actor, uid), None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rerun(request: HttpRequest, uid: UUID) -> HttpResponse:
    """The run form, filled with the parameters of an earlier run.

    It runs the version that ran; with `?version=enabled` the one that is enabled now.
    """
    actor = actor_of(request)
    visible = Execution.objects.visible_to(actor).select_related("robot", "version")
    earlier = get_object_or_404(visible, uid=uid)
    return _run_form(request, actor, _robot(actor, earlier.robot.uid), earlier)


def _robot(actor: Actor, uid: UUID) -> Robot:
    visible = Robot.objects.visible_to(actor)
    return get_object_or_404(
        visible.select_related("space__enterprise", "enabled_version"), uid=uid
    )


def _run_form(
    request: HttpRequest, actor: Actor, found: Robot, earlier: Execution | None
) -> HttpResponse:
    version = found.enabled_version
    if version and earlier and request.GET.get("version") != "enabled":
        version = earlier.version
    schema = version.parameters if version else {}
    manifest = Manifest.from_json(version.manifest) if version else None
    tasks = list(manifest.tasks) if manifest and len(manifest.tasks) > 1 else []
    task = request.POST.get("task", earlier.task if earlier and tasks else "")
    values: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    if earlier:
        values, kept = _of_earlier(earlier, schema)
    errors: dict[str, str] = {}
    texts: dict[str, str] = {}
    failure = ""
    if request.method == "POST":
        texts = {name.removeprefix("p."): str(text) for name, text in request.POST.items()}
        try:
            if schema:
                values = read_params(schema, request.POST)
            else:
                values = read_raw(request.POST.get("params", ""))
            if "examples" in request.POST:
                examples = _examples(found, version, task, values, kept)
                return render(request, "robots/_examples.html", examples)
            requested = services.request_execution(
                robot=found,
                by=actor,
                origin=Origin.PAGE,
                params={**kept, **values},
                version=version if earlier else None,
                task=task,
                idempotency_key=request.POST.get("idempotency_key"),
                rerun_of=earlier,
            )
            return redirect("execution", requested.execution.uid)
        except FormError as error:
            errors = error.errors
            failure = next(iter(errors.values()))
        except Refused as error:
            failure = str(error)
            for each in error.details.get("errors", []):
                name = str(each["where"]).removeprefix("params.").split(".")[0]
                errors.setdefault(name, each["message"])
        if "examples" in request.POST:
            return HttpResponse(status=204)
    task = task if task in tasks else next(iter(tasks), "")
    context = {
        "robot": found,
        "version": version,
        "can_run": may(actor, "execution.run", space=found.space),
        "earlier": earlier,
        "fields": form_fields(schema, values, errors, texts, kept),
        "raw": not schema,
        "raw_value": request.POST.get("params") or _pretty(values),
        "task_choices": tasks,
        "task": task,
        "error": failure,
        "idempotency_key": secrets.token_urlsafe(18),
        **_examples(found, version, task, values, kept),
    }
    return render(request, "robots/run.html", context, status=422 if failure else 200)


def _of_earlier(
    earlier: Execution, schema: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of `earlier` that may be shown, and those of `schema` that are only kept."""
    values = dict(earlier.params)
    hidden = hidden_names(earlier.version.parameters, values) | hidden_names(schema, values)
    kept = {name: values.pop(name) for name in hidden}
    return values, {name: kept[name] for name in hidden & schema.get("properties", {}).keys()}


def _examples(
    found: Robot,
    version: RobotVersion | None,
    task: str,
    values: Mapping[str, Any],
    kept: Collection[str],
) -> dict[str, str]:
    """The same run from a shell: by the API and, of the enabled version, on the server."""
    schema = version.parameters if version else {}
    given = {**example_values(schema), **dict.fromkeys(kept, MASK), **values}
    params = masked(schema, with_defaults(schema or None, given))
    body: dict[str, Any] = {"robot": str(found.uid)}
    if version and version != found.enabled_version:
        body["version"] = version.number
    body |= {"task": task} if task else {}
    body["params"] = params
    curl = [
        f"curl -X POST {settings.RPA_BASE_URL}{reverse('execution-list')}",
        "-H 'Authorization: Bearer YOUR_API_KEY'",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    ]
    options = [
        f"-p {shlex.quote(f'{name}={json.dumps(value, ensure_ascii=False)}')}"
        for name, value in params.items()
    ]
    chosen = [f"--task {shlex.quote(task)}"] if task else []
    command = [f"python manage.py run {found.uid}", *chosen, *options, "--follow"]
    if "version" in body:
        command = []
    return {"curl": " \\\n  ".join(curl), "cli": " \\\n  ".join(command)}


@login_required
@require_safe
def executions(request: HttpRequest) -> HttpResponse:
    """The runs that the user sees, newest first."""
    actor = actor_of(request)
    status, robot_uid = request.GET.get("status", ""), request.GET.get("robot", "")
    wanted = request.GET.get("q", "").strip()[:_LONGEST_SEARCH]
    robot: dict[str, Any] = {}
    # The runs of one robot are in one space, whichever the user works in.
    space = None if robot_uid and "space" not in request.GET else focus_of(request)
    robot |= _within(space)
    if robot_uid:
        robot |= {"uid": robot_uid} if _is_uuid(robot_uid) else {"pk": None}
    if wanted:
        robot["name__icontains"] = wanted
    found = _shown(actor, **robot)
    if status in Status.values:
        found = found.but(statuses=[status])
    page = page_of(found, request.GET)
    context = {
        "page": page.items,
        "next_url": page.next_url,
        "prev_url": page.prev_url,
        "status": status,
        "statuses": Status.choices,
        "robot": Robot.objects.visible_to(actor).filter(uid=robot_uid).first()
        if _is_uuid(robot_uid)
        else None,
        "q": wanted,
        "focus": space,
    }
    return render(request, "executions/list.html", context)


@login_required
@require_safe
def execution(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One run, live."""
    actor = actor_of(request)
    visible = Execution.objects.visible_to(actor).select_related(
        "robot",
        "version",
        "requested_by",
        "space__enterprise",
        "rerun_of",
        "runner",
        "retry__failed",
    )
    found = get_object_or_404(visible, uid=uid)
    own = found.requested_by_id == actor.user.pk
    deeds = permissions_in(actor, found.space)
    context = {
        "execution": found,
        "params": _pretty(masked(found.version.parameters, found.params)),
        # It outlives the events, of which the page is otherwise made.
        "result": "" if found.result is None else _pretty(found.result),
        "retry_of": getattr(found, "retry", None),
        "can_cancel": "execution.cancel_any" in deeds or (own and "execution.cancel_own" in deeds),
        "can_rerun": "execution.run" in deeds,
        "can_share": "share.create" in deeds,
        "can_prioritise": not found.is_terminal and "execution.set_priority" in deeds,
        "statuses": Status.choices,
        "urls": {
            "ws": f"/ws/executions/{found.uid}/",
            "sse": reverse("execution-stream", args=[found.uid]),
            "events": reverse("execution-events", args=[found.uid]),
            "detail": reverse("execution-detail", args=[found.uid]),
            "cancel": reverse("execution-cancel", args=[found.uid]),
            "queue": reverse("execution-queue", args=[found.uid]),
            "run_next": reverse("execution-run-next", args=[found.uid]),
            "page": reverse("execution", args=[found.uid]),
            "rerun_form": reverse("execution-rerun-form", args=[found.uid]),
            "artifacts": reverse("execution-artifacts", args=[found.uid]),
            "log_download": reverse("execution-log", args=[found.uid]),
        },
    }
    return render(request, "executions/detail.html", context)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
