import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import smart_split
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.actors import actor_of
from accounts.admin_parts import FoundById, public_id
from accounts.changelists import KeysetList
from accounts.pagination import Listing
from accounts.refusals import Refused
from executions import services
from executions.admin_fleet import WatchOnly
from executions.choices import Origin, Status
from executions.history import History, keys_of
from executions.models import Artifact, Execution
from robots.models import Robot
from robots.passwords import masked

#: Among how many of the newest artifacts a part of a name is looked for.
_SEARCHED_FILES = 10_000


class RunList(KeysetList):
    """Runs, by way of their history wherever it knows the filters that are chosen."""

    _KNOWN = ("status", "failure_reason", "origin", "space__id")

    def listing(self) -> Listing[Execution]:
        chosen = self.get_filters_params()
        exactly = {name: chosen.pop(f"{name}__exact", []) for name in self._KNOWN}
        if chosen or public_id(self.query) or any(len(each) > 1 for each in exactly.values()):
            return super().listing()
        (status,), (reason,), (origin,), (space,) = (each or [None] for each in exactly.values())
        robots = None
        if space is not None or self.query:
            robots = Robot.objects.filter(**({} if space is None else {"space__id": space}))
            for word in smart_split(self.query):
                robots = robots.filter(name__icontains=word)
        return History(
            rows=self.root_queryset.select_related(*self.list_select_related),
            robots=None if robots is None else keys_of(robots),
            statuses=[] if status is None else [status],
            failure_reason=reason,
            origin=origin,
        )


def _section(title: Any, fields: str) -> tuple[Any, dict[str, Any]]:
    return title, {"fields": fields.split()}


@admin.register(Execution)
class ExecutionAdmin(FoundById, WatchOnly):
    """Runs: watch them, cancel them, run them again. Only the lifecycle changes them."""

    list_display = [
        "shown_id",
        "robot",
        "shown_status",
        "shown_reason",
        "requested_by",
        "requested_at",
        "shown_duration",
    ]
    list_select_related = ["robot", "requested_by"]
    list_filter = ["status", "failure_reason", "origin", "space"]
    search_fields = ["robot__name"]
    search_help_text = _("An execution's id, or a part of a robot's name")
    list_per_page = 50
    actions = ["cancel", "rerun", "run_next"]
    fieldsets = [
        _section(None, "live_page robot version task status shown_reason message exit_code result"),
        _section(
            _("Request"),
            "space requested_by api_key origin rerun_of shown_params timeout_seconds",
        ),
        _section(
            _("Course"),
            "requested_at started_at finished_at shown_duration progress progress_message "
            "cancel_requested_at cancel_requested_by",
        ),
        _section(_("Machine"), "runner tier cpu_seconds memory_peak"),
        _section(_("For programs"), "trace_id idempotency_key"),
    ]
    readonly_fields = [
        "live_page",
        "shown_reason",
        "shown_params",
        "shown_duration",
    ]

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return RunList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        runs: QuerySet[Execution] = super().get_queryset(request)
        return runs.defer("params", "result")

    @display(description=_("Execution"))
    def shown_id(self, execution: Execution) -> str:
        return str(execution.uid)[:8]

    @display(
        description=_("Status"),
        label={
            Status.PENDING: "warning",
            Status.RUNNING: "info",
            Status.COMPLETED: "success",
            Status.FAILED: "danger",
        },
    )
    def shown_status(self, execution: Execution) -> tuple[str, str]:
        return execution.status, execution.get_status_display()

    @display(description=_("Reason"))
    def shown_reason(self, execution: Execution) -> str:
        if execution.status == Status.PENDING:
            return execution.get_pending_reason_display()
        return execution.get_failure_reason_display()

    @display(description=_("Duration"))
    def shown_duration(self, execution: Execution) -> str:
        if execution.duration is None:
            return "-"
        return gettext("%(seconds)s s") % {"seconds": f"{execution.duration:.1f}"}

    @display(description=_("Live page"))
    def live_page(self, execution: Execution) -> str:
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
            reverse("execution", args=[execution.uid]),
            execution.uid,
        )

    @display(description=_("Parameters"))
    def shown_params(self, execution: Execution) -> str:
        params = masked(execution.version.parameters, execution.params)
        return format_html(
            '<pre class="whitespace-pre-wrap">{}</pre>',
            json.dumps(params, indent=2, ensure_ascii=False),
        )

    @admin.action(description=_("Cancel the selected executions"), permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._each(request, queryset, _("Cancelled or being cancelled: %(count)d."), _cancel)

    @admin.action(description=_("Run the selected executions again"), permissions=["view"])
    def rerun(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._each(request, queryset, _("Requested again: %(count)d."), _rerun)

    @admin.action(description=_("Run the selected executions next"), permissions=["view"])
    def run_next(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._each(request, queryset, _("Put first: %(count)d."), _run_next)

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Execution], done: Any, deed: Any
    ) -> None:
        """Do `deed` to every selected run, and report each refusal in its own words."""
        count = 0
        chosen = queryset.select_related(
            "robot__space__enterprise", "robot__enabled_version", "version", "space__enterprise"
        )
        for execution in chosen.defer(None)[:500]:
            try:
                deed(execution, actor_of(request))
                count += 1
            except Refused as error:
                self.message_user(request, f"{str(execution.uid)[:8]}: {error}", "warning")
        if count:
            self.message_user(request, done % {"count": count})


def _cancel(execution: Execution, actor: Any) -> None:
    services.cancel_execution(execution, by=actor)


def _rerun(execution: Execution, actor: Any) -> None:
    services.rerun_execution(execution, by=actor, origin=Origin.ADMIN)


def _run_next(execution: Execution, actor: Any) -> None:
    services.run_next(execution, by=actor)


@admin.register(Artifact)
class ArtifactAdmin(FoundById, WatchOnly):
    list_display = ["name", "execution", "size", "content_type", "created_at"]
    list_select_related = ["execution"]
    search_fields = ["name"]
    search_help_text = _("An execution's id, or a part of the name of a recent file")
    id_field = "execution__uid"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Artifact]:
        files: QuerySet[Artifact] = super().get_queryset(request)
        return files.defer("execution__params", "execution__result")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Artifact], search_term: str
    ) -> tuple[QuerySet[Artifact], bool]:
        """No index knows parts of names: among the newest files, the look at each is soon done."""
        if search_term and public_id(search_term) is None:
            newest = Artifact.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
            queryset = queryset.filter(pk__gt=newest - _SEARCHED_FILES)
        return super().get_search_results(request, queryset, search_term)
