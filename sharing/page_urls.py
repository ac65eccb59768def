"""The addresses of the pages of shares."""

from django.urls import path

from sharing import pages

app_name = "sharing"

urlpatterns = [
    path("robots/<uuid:uid>/share/", pages.share_robot, name="robot-share"),
    path("executions/<uuid:uid>/share/", pages.share_execution, name="execution-share"),
    path("shares/", pages.shares, name="shares"),
    path("shares/<str:key>/off/", pages.switch_off, name="share-off"),
    path("shares/<str:key>/on/", pages.switch_on, name="share-on"),
    path("s/<str:key>/", pages.shared, name="shared"),
]
