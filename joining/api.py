"""Becoming a member, over REST: members added, invites, applications, seats, and whom to invite."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.viewsets import GenericViewSet

from accounts.actors import actor_of
from accounts.filters import number_asked
from accounts.refusals import NotFound
from accounts.tables import as_csv
from accounts.validation import checked
from audit.recording import attempt
from enterprises.access import enterprises_allowing, require_in_enterprise
from enterprises.models import Enterprise
from joining import services
from joining.batch import invite_all, require_may_invite
from joining.models import Application, Invite, InviteRole, InviteStatus, key_in
from joining.search import search_users
from joining.seats import seats_of
from joining.tables import read_accounts
from spaces.access import known_spaces, require
from spaces.api import SpaceMemberSerializer
from spaces.limits import most_spaces, type_of
from spaces.models import Space, SpaceRole, SpaceUser

_STATUS = OpenApiParameter("status", type=int, description="Only those of this status.")


class InviteSerializer(serializers.ModelSerializer[Invite]):
    id = serializers.CharField(source="token", read_only=True, help_text="What a link has as well.")
    space_name = serializers.CharField(
        source="space.name", read_only=True, allow_null=True, help_text="Of an enterprise: null."
    )
    enterprise_name = serializers.CharField(
        source="enterprise.name",
        read_only=True,
        allow_null=True,
        help_text="Of a personal space: null.",
    )
    invitee = serializers.CharField(source="invitee_id", read_only=True)
    invitee_name = serializers.CharField(source="invitee.username", read_only=True)
    inviter_name = serializers.CharField(source="inviter.username", read_only=True)
    status = serializers.SerializerMethodField(
        help_text="1 open, 2 refused, 3 joined, 4 withdrawn, 5 expired."
    )

    class Meta:
        model = Invite
        fields = [
            "id",
            "type",
            "space",
            "space_name",
            "enterprise",
            "enterprise_name",
            "invitee",
            "invitee_name",
            "invitee_nickname",
            "inviter_name",
            "role",
            "status",
            "create_time",
            "expire_time",
        ]
        read_only_fields = fields

    def get_status(self, invite: Invite) -> int:
        return int(invite.state)


_SHOWN_WITH = ("space", "enterprise", "invitee", "inviter")


class NewMember(serializers.Serializer[Any]):
    user = serializers.CharField(max_length=128, help_text="The uid of a member of the enterprise.")
    role = serializers.ChoiceField(
        InviteRole.choices, default=InviteRole.MEMBER, help_text="2 admin, 3 member."
    )


class NewInvite(serializers.Serializer[Any]):
    user = serializers.CharField(max_length=128, help_text="Whom: the uid of a user.")
    role = serializers.ChoiceField(
        InviteRole.choices,
        default=InviteRole.MEMBER,
        help_text="2 admin, or governor of an enterprise; 3 member, or staff.",
    )


class InviteTable(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="An .xlsx or a .csv; its first column has user names, e-mails or phones."
    )
    role = serializers.ChoiceField(InviteRole.choices, default=InviteRole.MEMBER)


class ApplicationSerializer(serializers.ModelSerializer[Application]):
    space_name = serializers.CharField(source="space.name", read_only=True)
    applicant = serializers.CharField(source="applicant_id", read_only=True)
    applicant_name = serializers.CharField(source="applicant.username", read_only=True)
    auditor = serializers.CharField(source="auditor_id", read_only=True, allow_null=True)

    class Meta:
        model = Application
        fields = [
            "id",
            "enterprise",
            "space",
            "space_name",
            "applicant",
            "applicant_name",
            "apply_nickname",
            "apply_time",
            "status",
            "auditor",
            "audit_time",
        ]
        read_only_fields = fields


class FoundSerializer(serializers.Serializer[Any]):
    user = serializers.CharField(source="user.uid", help_text="The user's uid.")
    username = serializers.CharField(source="user.username")
    nickname = serializers.SerializerMethodField()
    state = serializers.ChoiceField(["member", "invited", "none"])

    def get_nickname(self, found: Any) -> str:
        return services.nickname_of(found.user)


class SeatsSerializer(serializers.Serializer[Any]):
    members = serializers.IntegerField()
    open_invites = serializers.IntegerField()
    limit = serializers.IntegerField()
    free = serializers.IntegerField()


class InASpace(GenericViewSet[Any]):
    """What there is in the space that the address names."""

    queryset = Space.objects.none()

    def place(self) -> Any:
        spaces = known_spaces(actor_of(self.request)).select_related("enterprise")
        return get_object_or_404(spaces, pk=self.kwargs["pk"])


class InAnEnterprise(GenericViewSet[Any]):
    """What there is in the enterprise that the address names."""

    queryset = Enterprise.objects.none()

    def place(self) -> Any:
        enterprises = enterprises_allowing(actor_of(self.request), "enterprise.view")
        return get_object_or_404(enterprises, pk=self.kwargs["pk"])


class SpaceMembers(InASpace):
    serializer_class = SpaceMemberSerializer

    @extend_schema(
        responses=SpaceMemberSerializer(many=True),
        parameters=[OpenApiParameter("role", type=int, description="Only those of this role.")],
    )
    def list(self, request: Request, pk: int) -> Response:
        """The members of a space, newest first."""
        space: Space = self.place()
        require(actor_of(request), "member.list", space=space)
        members: QuerySet[SpaceUser] = space.members.select_related("user")
        role = number_asked(request, "role")
        if role is not None:
            members = members.filter(role=role)
        page: Any = self.paginate_queryset(members)
        return self.get_paginated_response(SpaceMemberSerializer(page, many=True).data)

    @extend_schema(request=NewMember, responses={201: SpaceMemberSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Add a member of the enterprise, without asking them."""
        space: Space = self.place()
        given = checked(NewMember(data=request.data))
        added = services.add_member(
            space, given["user"], SpaceRole(int(given["role"])), by=actor_of(request)
        )
        return Response(SpaceMemberSerializer(added).data, status=status.HTTP_201_CREATED)


class _Invites(GenericViewSet[Any]):
    """Invites to a place: for who may see and send them there."""

    serializer_class = InviteSerializer

    def place(self) -> Any:
        raise NotImplementedError

    @extend_schema(responses=InviteSerializer(many=True), parameters=[_STATUS])
    def list(self, request: Request, pk: int) -> Response:
        """The invites that were sent, newest first."""
        place = self.place()
        services.require_at(actor_of(request), "invite.list", place)
        invites = _in_state(Invite.objects.to(place), request).select_related(*_SHOWN_WITH)
        page: Any = self.paginate_queryset(invites)
        return self.get_paginated_response(InviteSerializer(page, many=True).data)

    @extend_schema(request=NewInvite, responses={201: InviteSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Invite one user, for seven days."""
        place = self.place()
        given = checked(NewInvite(data=request.data))
        invite = services.invite_user(
            place, given["user"], InviteRole(int(given["role"])), by=actor_of(request)
        )
        return Response(InviteSerializer(invite).data, status=status.HTTP_201_CREATED)


class SpaceInvites(_Invites, InASpace):
    place = InASpace.place


class EnterpriseInvites(_Invites, InAnEnterprise):
    place = InAnEnterprise.place


class _InviteTables(GenericViewSet[Any]):
    parser_classes = [MultiPartParser]
    serializer_class = InviteTable
    throttle_classes = [*GenericViewSet.throttle_classes, ScopedRateThrottle]
    throttle_scope = "people"

    def place(self) -> Any:
        raise NotImplementedError

    @extend_schema(
        request={"multipart/form-data": InviteTable},
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def create(self, request: Request, pk: int) -> HttpResponse:
        """Invite everybody of a table; the answer is a table that says what came of each row."""
        place = self.place()
        actor = actor_of(request)
        require_may_invite(place, by=actor)
        given = checked(InviteTable(data=request.data))
        asked = read_accounts(given["file"], given["file"].name)
        outcomes = invite_all(place, asked, InviteRole(int(given["role"])), by=actor)
        rows = [
            [str(each.row.number), each.row.account, each.code, each.message] for each in outcomes
        ]
        return HttpResponse(
            as_csv(["row", "account", "result", "message"], rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="invites.csv"'},
        )


class SpaceInviteTables(_InviteTables, InASpace):
    place = InASpace.place


class EnterpriseInviteTables(_InviteTables, InAnEnterprise):
    place = InAnEnterprise.place


class InviteViewSet(mixins.ListModelMixin, GenericViewSet[Invite]):
    """The invites that the caller has received."""

    serializer_class = InviteSerializer
    queryset = Invite.objects.none()

    def get_queryset(self) -> QuerySet[Invite]:
        actor = actor_of(self.request)
        if not actor.in_own_scope("invite.answer"):
            return Invite.objects.none()
        mine = Invite.objects.to_living_places().filter(invitee=actor.user)
        found: QuerySet[Invite] = _in_state(mine, self.request)
        return found.select_related(*_SHOWN_WITH)

    def _named(self, token: str) -> Invite:
        key = key_in(token)
        invites = Invite.objects.to_living_places().select_related(*_SHOWN_WITH)
        invite = invites.filter(pk=key).first() if key is not None else None
        if invite is None:
            raise NotFound(_("Not found."))
        return invite

    @extend_schema(parameters=[_STATUS])
    def list(self, request: Request) -> Response:
        return super().list(request)

    def retrieve(self, request: Request, token: str) -> Response:
        """One: for whom it is."""
        invite = self._named(token)
        if not self.get_queryset().filter(pk=invite.pk).exists():
            raise NotFound(_("Not found."))
        return Response(InviteSerializer(invite).data)

    @extend_schema(request=None)
    def accept(self, request: Request, token: str) -> Response:
        """Join."""
        joined = services.accept_invite(self._named(token), by=actor_of(request))
        return Response(InviteSerializer(joined).data)

    @extend_schema(request=None)
    def refuse(self, request: Request, token: str) -> Response:
        """Do not join."""
        refused = services.refuse_invite(self._named(token), by=actor_of(request))
        return Response(InviteSerializer(refused).data)

    @extend_schema(request=None)
    def withdraw(self, request: Request, token: str) -> Response:
        """Take an invite back: for who may do so in the place that it is to."""
        withdrawn = services.withdraw_invite(self._named(token), by=actor_of(request))
        return Response(InviteSerializer(withdrawn).data)


class SpaceApplications(InASpace):
    serializer_class = ApplicationSerializer

    @extend_schema(responses=ApplicationSerializer(many=True), parameters=[_STATUS])
    def list(self, request: Request, pk: int) -> Response:
        """The applications to join a space, newest first."""
        space: Space = self.place()
        require(actor_of(request), "apply.list", space=space)
        found: QuerySet[Any] = Application.objects.filter(space=space)
        page: Any = self.paginate_queryset(_of_status(found, request))
        return self.get_paginated_response(ApplicationSerializer(page, many=True).data)

    @extend_schema(request=None, responses={201: ApplicationSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Ask to join a space of one's enterprise. Its officer joins at once."""
        made = services.apply_to_join(self.place(), by=actor_of(request))
        return Response(ApplicationSerializer(made).data, status=status.HTTP_201_CREATED)


class SpaceApplication(InASpace):
    serializer_class = ApplicationSerializer

    def _asked(self, deed: str) -> Application:
        space: Space = self.place()
        there = Application.objects.filter(space=space).select_related("space", "applicant")
        found = there.filter(pk=self.kwargs["application"]).first()
        actor = actor_of(self.request)
        with attempt(f"application.{deed}", found or space, by=actor):
            # Which ones there are is for who may list them; deciding is asked for by the service.
            require(actor, "apply.list", space=space)
            if found is None:
                raise NotFound(_("Not found."))
            return found

    @extend_schema(request=None)
    def approve(self, request: Request, pk: int, application: int) -> Response:
        """Make the applicant a member."""
        approved = services.approve_application(self._asked("approve"), by=actor_of(request))
        return Response(ApplicationSerializer(approved).data)

    @extend_schema(request=None)
    def reject(self, request: Request, pk: int, application: int) -> Response:
        rejected = services.reject_application(self._asked("reject"), by=actor_of(request))
        return Response(ApplicationSerializer(rejected).data)


class MyApplications(mixins.ListModelMixin, GenericViewSet[Application]):
    """The applications of the caller."""

    serializer_class = ApplicationSerializer
    queryset = Application.objects.none()

    def get_queryset(self) -> QuerySet[Application]:
        actor = actor_of(self.request)
        if not actor.in_own_scope("apply.create"):
            return Application.objects.none()
        mine = Application.objects.filter(
            applicant=actor.user, space__deleted=False, enterprise__deleted=False
        )
        return _of_status(mine, self.request)


class _Users(GenericViewSet[Any]):
    serializer_class = FoundSerializer
    pagination_class = None
    throttle_classes = [*GenericViewSet.throttle_classes, ScopedRateThrottle]
    throttle_scope = "people"

    def place(self) -> Any:
        raise NotImplementedError

    @extend_schema(
        responses=FoundSerializer(many=True),
        parameters=[
            OpenApiParameter(
                "q",
                required=True,
                description="A whole user name, e-mail or uid; or three letters and more that the "
                "user name of a colleague begins with.",
            )
        ],
    )
    def list(self, request: Request, pk: int) -> Response:
        """At most 20 users to invite, and what they are to the place already."""
        found = search_users(self.place(), request.query_params.get("q", ""), by=actor_of(request))
        return Response(FoundSerializer(found, many=True).data)


class SpaceUsers(_Users, InASpace):
    place = InASpace.place


class EnterpriseUsers(_Users, InAnEnterprise):
    place = InAnEnterprise.place


class SpaceLimits(InASpace):
    serializer_class = SeatsSerializer
    pagination_class = None

    @extend_schema(
        responses=inline_serializer("SpaceLimits", {"users": SeatsSerializer()}),
    )
    def retrieve(self, request: Request, pk: int) -> Response:
        """How many users the space has and may have."""
        space: Space = self.place()
        require(actor_of(request), "space.limits", space=space)
        return Response({"users": SeatsSerializer(seats_of(space)).data})


class EnterpriseLimits(InAnEnterprise):
    serializer_class = SeatsSerializer
    pagination_class = None

    @extend_schema(
        responses=inline_serializer(
            "EnterpriseLimits",
            {
                "users": SeatsSerializer(),
                "spaces": inline_serializer(
                    "SpaceCount",
                    {"count": serializers.IntegerField(), "limit": serializers.IntegerField()},
                ),
            },
        ),
    )
    def retrieve(self, request: Request, pk: int) -> Response:
        """How many users and spaces the enterprise has and may have."""
        enterprise: Enterprise = self.place()
        require_in_enterprise(actor_of(request), "member.limits", enterprise=enterprise)
        spaces = {"count": _living(enterprise).count(), "limit": most_spaces(type_of(enterprise))}
        return Response({"users": SeatsSerializer(seats_of(enterprise)).data, "spaces": spaces})

    @extend_schema(
        responses=inline_serializer(
            "SpaceCounts",
            {"all": serializers.IntegerField(), "mine": serializers.IntegerField()},
        ),
    )
    def counts(self, request: Request, pk: int) -> Response:
        """How many spaces there are, and in how many of them the caller is."""
        enterprise: Enterprise = self.place()
        actor = actor_of(request)
        require_in_enterprise(actor, "space.count", enterprise=enterprise)
        mine = _living(enterprise).filter(members__user=actor.user)
        return Response({"all": _living(enterprise).count(), "mine": mine.count()})


def _living(enterprise: Enterprise) -> QuerySet[Space]:
    return Space.objects.filter(enterprise=enterprise, deleted=False)


def _in_state(invites: Any, request: Request) -> Any:
    wanted = number_asked(request, "status")
    if wanted is None:
        return invites
    return invites.in_state(wanted) if wanted in InviteStatus.values else invites.none()


def _of_status(found: QuerySet[Application], request: Request) -> QuerySet[Application]:
    found = found.select_related("space", "applicant")
    wanted = number_asked(request, "status")
    return found if wanted is None else found.filter(status=wanted)
