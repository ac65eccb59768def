"""The fleet in the admin: runners and their pools, limits and shares, and how long spaces keep what runs leave."""

from collections import Counter
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.actors import actor_of
from accounts.admin_parts import Careful
from accounts.changelists import KeysetList
from audit.recording import deed, note
from executions.choices import TicketState
from executions.models import (
    DEFAULT_POOL,
    Lane,
    Pool,
    RunLimit,
    Runner,
    RunnerToken,
    SpaceRetention,
    SpaceShare,
    Ticket,
)
from robots.models import RobotVersion


class WatchOnly(Careful, ModelAdmin):
    """What the platform writes and nobody edits."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class RunnerList(KeysetList):
    """Runners, with what each has in hand: no more than it has slots."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        runners = list(self.result_list)
        leased = Ticket.objects.filter(
            runner__in=[each.pk for each in runners if each.stopped_at is None],
            state=TicketState.LEASED,
        )
        in_hand = Counter(leased.values_list("runner", flat=True))
        for each in runners:
            each.in_hand = in_hand[each.pk]
        self._show(runners)


@admin.register(Runner)
class RunnerAdmin(WatchOnly):
    """Who carries out runs, and who has done so."""

    list_display = [
        *("host", "pid", "shown_state", "pool", "shown_labels", "shown_load"),
        *("tier", "version", "started_at", "heartbeat_at"),
    ]
    list_select_related = ["pool"]
    list_filter = ["pool"]
    actions = ["drain"]

    @display(
        description=_("State"),
        label={"alive": "success", "draining": "warning", "silent": "danger", "stopped": ""},
    )
    def shown_state(self, runner: Runner) -> tuple[str, str]:
        words = {
            "alive": gettext("Alive"),
            "draining": gettext("Draining"),
            "silent": gettext("Silent"),
            "stopped": gettext("Stopped"),
        }
        return runner.state, words[runner.state]

    @display(description=_("labels"))
    def shown_labels(self, runner: Runner) -> str:
        return ", ".join(runner.labels)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return RunnerList

    @display(description=_("In hand"))
    def shown_load(self, runner: Any) -> str:
        if runner.stopped_at is not None:
            return "-"
        return gettext("%(count)d of %(slots)d") % {
            "count": runner.in_hand,
            "slots": runner.slots,
        }

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("executions.change_runner")

    @admin.action(description=_("Drain the selected runners"), permissions=["drain"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Runner]) -> None:
        count = 0
        for runner in queryset.filter(stopped_at=None, draining_at=None):
            with deed("runner.drain", runner, by=actor_of(request)):
                now = timezone.now()
                Runner.objects.filter(pk=runner.pk).update(draining_at=now)
                note(runner, {"draining_at": None}, {"draining_at": now.isoformat()})
            count += 1
        told = ngettext(
            "%(count)d runner takes no more runs.", "%(count)d runners take no more runs.", count
        )
        self.message_user(request, told % {"count": count})


@admin.register(Pool)
class PoolAdmin(Careful, ModelAdmin):
    """Groups of runners that stand in for each other."""

    list_display = ["name", "description"]
    search_fields = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Pool | None = None) -> list[str]:
        return ["name"] if obj is not None and _is_named(obj) else []

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # runs and runners of the past name it


def _is_named(pool: Pool) -> bool:
    """Whether robots, runners or waiting runs know the pool by its name: under another one they would miss it."""
    return (
        pool.name == DEFAULT_POOL
        or any(each.objects.filter(pool=pool).exists() for each in (Lane, Runner, RunnerToken))
        or RobotVersion.objects.filter(manifest__pool=pool.name).exists()
    )


@admin.register(RunLimit)
class RunLimitAdmin(Careful, ModelAdmin):
    """How many runs of one thing there may be at once."""

    list_display = ["__str__", "most"]
    list_select_related = ["robot", "space", "enterprise", "pool"]
    autocomplete_fields = ["robot", "space", "enterprise", "pool"]
    search_fields = ["robot__name", "space__name", "enterprise__name", "pool__name"]


@admin.register(SpaceShare)
class SpaceShareAdmin(Careful, ModelAdmin):
    """Who gets more of the fleet than others."""

    list_display = ["space", "weight"]
    list_select_related = ["space"]
    autocomplete_fields = ["space"]
    search_fields = ["space__name"]


@admin.register(SpaceRetention)
class SpaceRetentionAdmin(Careful, ModelAdmin):
    """How long spaces keep events and artifacts, where not as long as others."""

    list_display = ["space", "days"]
    list_select_related = ["space"]
    autocomplete_fields = ["space"]
    search_fields = ["space__name"]
