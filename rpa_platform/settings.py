"""Django's settings, all of them from the environment: see configuration.py and docs/configuration.md."""

from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from rpa_platform import configuration as read
from rpa_platform import sign_in_configuration as read_sign_in
from rpa_platform.administration import UNFOLD as UNFOLD

BASE_DIR = read.BASE_DIR
RPA_DATA_DIR: Path = read.data_dir()
RPA_VERSION = "0.1.0"

DEBUG = read.switch("RPA_DEBUG", default=False)
SECRET_KEY = read.secret_key(RPA_DATA_DIR)
ALLOWED_HOSTS = read.hosts("RPA_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = read.origins("RPA_TRUSTED_ORIGINS", [])
RPA_BASE_URL = read.origin("RPA_BASE_URL", "http://127.0.0.1:8000")

INSTALLED_APPS = [
    "rpa_platform.apps.PlatformConfig",
    "unfold",
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "audit.apps.AuditConfig",
    "accounts.apps.AccountsConfig",
    "enterprises.apps.EnterprisesConfig",
    "spaces.apps.SpacesConfig",
    "resources.apps.ResourcesConfig",
    "joining.apps.JoiningConfig",
    "people.apps.PeopleConfig",
    "robots.apps.RobotsConfig",
    "executions.apps.ExecutionsConfig",
    "sharing.apps.SharingConfig",
    "interop.apps.InteropConfig",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "rpa_platform.security.ContentSecurityPolicyMiddleware",
    "accounts.middleware.read_as_utf8",
    "audit.middleware.set_scene",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "accounts.middleware.FinishAddress",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.note_session",
    "accounts.middleware.DemandSecondFactor",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "rpa_platform.urls"
ASGI_APPLICATION = "rpa_platform.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "people.context.people",
            ],
        },
    },
]

DATABASES = {"default": read.database(RPA_DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Sockets hear by the hub: a layer that nobody uses would cost each of them a task and a queue.
CHANNEL_LAYERS: dict[str, Any] = {}

AUTH_USER_MODEL = "accounts.User"
# MySQL lacks what keeps a user from two apps of codes at a time; both would be asked for, and do no harm.
SILENCED_SYSTEM_CHECKS = ["models.W036"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Signing in: by django-allauth, in the house's pages. Its attempts are counted by accounts/attempts.py,
# in the database, because the cache is each process's own.
RPA_OPEN_SIGN_UP = read.switch("RPA_OPEN_SIGN_UP", default=False)
RPA_REQUIRE_MFA = read.choice("RPA_REQUIRE_MFA", "none", ("none", "staff", "all"))
RPA_MFA_KEY = read_sign_in.encryption_key("RPA_MFA_KEY")
RPA_EMAIL_URL = read.text("RPA_EMAIL_URL", "")
EMAIL = read_sign_in.mail("RPA_EMAIL_URL")
EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = EMAIL.backend, EMAIL.host, EMAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL.user, EMAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL, EMAIL_TIMEOUT = EMAIL.starttls, EMAIL.tls, 10
DEFAULT_FROM_EMAIL = read_sign_in.sender("RPA_EMAIL_FROM", needed=bool(RPA_EMAIL_URL))
read_sign_in.check_open_sign_up(RPA_OPEN_SIGN_UP, RPA_EMAIL_URL)
RPA_OIDC_ISSUER = read_sign_in.issuer("RPA_OIDC_ISSUER")
RPA_OIDC_CLIENT_ID = read_sign_in.client_id("RPA_OIDC_CLIENT_ID", needed=bool(RPA_OIDC_ISSUER))
RPA_OIDC_CLIENT_SECRET = read.text("RPA_OIDC_CLIENT_SECRET", "")
RPA_OIDC_NAME = read.text("RPA_OIDC_NAME", "OpenID Connect")
RPA_OIDC_SIGN_UP = read.switch("RPA_OIDC_SIGN_UP", default=True)
RPA_OIDC_AUDIENCES = read.listed("RPA_OIDC_AUDIENCES", [RPA_OIDC_CLIENT_ID])
RPA_OIDC_GROUPS_CLAIM = read.text("RPA_OIDC_GROUPS_CLAIM", "groups")
RPA_OIDC_GROUPS = read_sign_in.group_roles("RPA_OIDC_GROUPS")
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "reauthenticate": "accounts.forms.ReauthenticateForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_RATE_LIMITS = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*"]
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "add_webauthn": "accounts.forms.AddPasskeyForm",
    "authenticate": "accounts.forms.CodeForm",
    "authenticate_webauthn": "accounts.forms.PasskeyForm",
    "login_webauthn": "accounts.forms.PasskeySignInForm",
    "reauthenticate": "accounts.forms.ReauthenticateByCodeForm",
    "reauthenticate_webauthn": "accounts.forms.ReauthenticateByPasskeyForm",
    "activate_totp": "accounts.forms.ActivateCodesForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RATE_LIMITS = False
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "RPA Platform"
MFA_TOTP_TOLERANCE = 1
SOCIALACCOUNT_ADAPTER = "accounts.adapters.IdentityAdapter"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True

LANGUAGE_CODE = read.choice("RPA_LANGUAGE", "en", ("en", "zh-hans"))
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
# The second one holds what Django and the admin's theme do not say in Chinese.
LOCALE_PATHS = [BASE_DIR / "locale", BASE_DIR / "locale" / "libraries"]
TIME_ZONE = read.time_zone("RPA_TIME_ZONE", "UTC")
USE_TZ = True

RPA_STORAGE_PUBLIC_URL = read.origin("RPA_STORAGE_PUBLIC_URL", "")
STATIC_URL = "/static/"
STATIC_ROOT = RPA_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": read.storage(RPA_DATA_DIR, RPA_STORAGE_PUBLIC_URL),
    "staticfiles": {"BACKEND": "rpa_platform.storage.HashedStaticFilesStorage"},
}
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 2**20
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 2**20
FILE_UPLOAD_TEMP_DIR = None

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = RPA_BASE_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if read.switch("RPA_BEHIND_PROXY", default=False) else None
)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "accounts.authentication.SignedInAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.validation.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "accounts.pagination.NewestFirst",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "user": read.rate("RPA_API_RATE", "6000/min"),
        # Looking for people, whose accounts are nobody's to collect.
        "people": read.rate("RPA_SEARCH_RATE", "30/min"),
    },
    "EXCEPTION_HANDLER": "accounts.problems.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "RPA Platform API",
    "DESCRIPTION": "Publish robots, run them, and follow every event of a run.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ExecutionStatus": "executions.choices.Status",
        "EnterpriseRole": "enterprises.models.EnterpriseRole",
        "SpaceRole": "spaces.models.SpaceRole",
        "InviteRole": "joining.models.InviteRole",
        "KeyState": "accounts.models.KeyState",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "executions.api_description.describe_all",
    ],
}

# How runs are carried out and watched. The meaning and unit of each is in docs/configuration.md.
RPA_ENGINE = read.choice("RPA_ENGINE", "embedded", ("embedded", "celery", "none"))
RPA_BROKER_URL = read.broker_url(RPA_ENGINE)
RPA_REDIS_URL = read.redis_url()
RPA_RUNNER_POOL = read.one_name("RPA_RUNNER_POOL", "default")
RPA_RUNNER_LABELS = read.names("RPA_RUNNER_LABELS", [])
RPA_SLOTS = read.number("RPA_SLOTS", 24, least=1, most=256)
RPA_HEARTBEAT_SECONDS = read.number("RPA_HEARTBEAT_SECONDS", 5, least=1, most=60)
RPA_RUN_TIMEOUT = read.number("RPA_RUN_TIMEOUT", 3 * 3600, least=1, most=24 * 3600)
RPA_QUEUE_TIMEOUT = read.number("RPA_QUEUE_TIMEOUT", 24 * 3600, least=0, most=30 * 24 * 3600)
# How many runs of one space, or of one enterprise, there may be at once; 0 = as many as there is room for.
RPA_SPACE_RUNS = read.number("RPA_SPACE_RUNS", 0, least=0, most=100_000)
RPA_ENTERPRISE_RUNS = read.number("RPA_ENTERPRISE_RUNS", 0, least=0, most=100_000)
RPA_CANCEL_GRACE = read.number("RPA_CANCEL_GRACE", 5, least=0, most=300)
RPA_DRAIN_SECONDS = read.number("RPA_DRAIN_SECONDS", 300, least=0, most=86_400)
RPA_ARCHIVE_AFTER = read.number("RPA_ARCHIVE_AFTER", 24 * 3600, least=0, most=30 * 24 * 3600)
RPA_RETENTION_DAYS = read.number("RPA_RETENTION_DAYS", 0, least=0, most=36_500)
RPA_LOG_LIMIT_MIB = read.number("RPA_LOG_LIMIT_MIB", 64, least=1, most=4096)
RPA_ARTIFACT_LIMIT_MIB = read.number("RPA_ARTIFACT_LIMIT_MIB", 100, least=1, most=10_240)
RPA_ARTIFACT_COUNT = read.number("RPA_ARTIFACT_COUNT", 200, least=1, most=10_000)
RPA_SANDBOX_UID_BASE = read.number("RPA_SANDBOX_UID_BASE", 2_000_000, least=1000, most=2**31)

# The run-a-robot stream of AstronAgent; the older names are those that its operators have today.
RPA_PING_INTERVAL = read.number(
    "RPA_PING_INTERVAL", 3, least=1, most=60, alias="XIAOWU_RPA_PING_INTERVAL"
)
RPA_TIMEOUT = read.number("RPA_TIMEOUT", 300, least=1, most=86_400, alias="XIAOWU_RPA_TIMEOUT")
RPA_TIMEOUT_CANCELS = read.switch("RPA_TIMEOUT_CANCELS", default=True)

# How many spaces an owner or an enterprise may have, and users a space or an enterprise, each by its type.
RPA_FREE_SPACES = read.number("RPA_FREE_SPACES", 1, least=0, most=1_000_000)
RPA_PRO_SPACES = read.number("RPA_PRO_SPACES", 10, least=0, most=1_000_000)
RPA_TEAM_SPACES = read.number("RPA_TEAM_SPACES", 10_000, least=0, most=1_000_000)
RPA_ENTERPRISE_SPACES = read.number("RPA_ENTERPRISE_SPACES", 10_000, least=0, most=1_000_000)
# Whom one user may name in tables of people to invite.
RPA_INVITE_RATE = read.rate("RPA_INVITE_RATE", "2000/day")
RPA_FREE_USERS = read.number("RPA_FREE_USERS", 5, least=1, most=1_000_000)
RPA_PRO_USERS = read.number("RPA_PRO_USERS", 10, least=1, most=1_000_000)
RPA_TEAM_USERS = read.number("RPA_TEAM_USERS", 10_000, least=1, most=1_000_000)
RPA_ENTERPRISE_USERS = read.number("RPA_ENTERPRISE_USERS", 10_000, least=1, most=1_000_000)

RPA_METRICS_TOKEN = read.text("RPA_METRICS_TOKEN", "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        "level": read.choice("RPA_LOG_LEVEL", "WARNING", read.LOG_LEVELS),
    },
}
