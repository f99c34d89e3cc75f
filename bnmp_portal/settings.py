"""Every setting, read from the environment. Safe by default: what is missing or unreadable stops the start.

Each variable may also be given as ``NAME_FILE``, the path of a file that holds the value (container secrets).
``PORTAL_DEMO=1``, set by ``make run`` and by nobody else, fills in the embedded defaults under ``var/``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import ssl
from collections.abc import Iterable
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF

from bnmp_portal.environment import boolean, is_mailbox, networks, number, stop, text, web_address, words

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"


def demo_key(name: str) -> str:
    """A key for the demonstration, made once and kept under ``var/`` with mode 600."""
    path = VAR_DIR / "keys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text()


PORTAL_DEMO = boolean("PORTAL_DEMO", default=False)
if PORTAL_DEMO:
    for folder in ("broker/queue", "broker/control", "mail", "log", "attachments"):
        (VAR_DIR / folder).mkdir(parents=True, exist_ok=True)
    for name, value in {
        "SECRET_KEY": demo_key("secret_key"),
        "SECRETS_KEY": demo_key("secrets_key"),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "PORTAL_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": f"sqlite:///{VAR_DIR / 'portal.sqlite3'}",
        "CELERY_BROKER_URL": "filesystem://",
        "EMAIL_URL": f"filemail:///{VAR_DIR / 'mail'}",
        "ATTACHMENTS_DIR": str(VAR_DIR / "attachments"),
        "DEFAULT_FROM_EMAIL": "Sistemas Externos <nao-responda@tjms.jus.br>",
    }.items():
        if name not in os.environ and f"{name}_FILE" not in os.environ:
            os.environ[name] = value

# --- Keys -----------------------------------------------------------------------------------------------------------
SECRET_KEY = text("SECRET_KEY")
SECRET_KEY_FALLBACKS = words("SECRET_KEY_FALLBACKS", "")
#: The first encrypts what must be stored and derives provisional passwords, each reads (``accounts.secret_keys``); the
#: last makes the digests of what was typed (``accounts.security``).
SECRETS_KEYS = words("SECRETS_KEY")
for key in (SECRET_KEY, *SECRETS_KEYS):
    if len(key) < 32:  # noqa: PLR2004 - 32 characters: 128 bits in hexadecimal, the least that is worth a key
        raise stop("SECRET_KEY e cada chave de SECRETS_KEY precisam de pelo menos 32 caracteres.")
if SECRET_KEY in SECRETS_KEYS:
    raise stop("SECRET_KEY e SECRETS_KEY precisam ser diferentes.")

# --- Addresses ------------------------------------------------------------------------------------------------------
DEBUG = boolean("DEBUG", default=False)
ALLOWED_HOSTS = words("ALLOWED_HOSTS")


#: Links in mails are made from this, never from the request.
PORTAL_URL = web_address("PORTAL_URL")
HTTPS = PORTAL_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [PORTAL_URL]


#: Only these may say, by ``X-Forwarded-For`` and ``X-Forwarded-Proto``, whom they speak for.
TRUSTED_PROXIES = networks("TRUSTED_PROXIES")
#: Who may read ``/health/status`` and ``/metrics``.
MONITORING_ADDRESSES = networks("MONITORING_ADDRESSES", "127.0.0.1,::1")

# --- Applications ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    # First, so that permissions exist when requests_app makes its groups.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "accounts",
    "requests_app",
    "bnmp_portal.apps.PortalConfig",
    "bnmp_portal.apps.PortalAdminConfig",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_otp",
    "django_recaptcha",
    "altcha_django",
    "csp",
]
MIDDLEWARE = [
    "bnmp_portal.metrics.MetricsMiddleware",
    # What every answer carries: outside of all that may answer, static files and errors included.
    "accounts.http.AnswerHeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Outside of what leads to https or to the last slash: the address may be a link to a new password.
    "accounts.http.NoStoreMiddleware",
    "accounts.http.RequestIdMiddleware",
    "accounts.http.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "requests_app.uploads.UploadMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.sessions.SessionUseMiddleware",
    "accounts.http.SignInFirstMiddleware",
    "accounts.http.PasswordChangeRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.terms.TermMiddleware",
    "bnmp_portal.errors.NotAllowedMiddleware",
]
ROOT_URLCONF = "bnmp_portal.urls"
WSGI_APPLICATION = "bnmp_portal.wsgi.application"
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
                "accounts.http.portal_context",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
CRISPY_ALLOWED_TEMPLATE_PACKS = "bootstrap5"
CRISPY_TEMPLATE_PACK = "bootstrap5"
CRISPY_FAIL_SILENTLY = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database -------------------------------------------------------------------------------------------------------
try:
    # Looked at first: django-environ would print an address that it does not know, password included.
    if text("DATABASE_URL").partition("://")[0] not in {"postgres", "postgresql", "sqlite"}:
        raise ValueError  # noqa: TRY301 - said below
    DATABASES = {"default": environ.Env.db_url_config(text("DATABASE_URL"))}
except (environ.ImproperlyConfigured, ValueError):
    raise stop("DATABASE_URL não pôde ser lida. Exemplo: postgres://usuario:senha@servidor:5432/portal.") from None
DATABASES["default"].update(ATOMIC_REQUESTS=False, CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # a reader that turns writer would fail at once, busy timeout or not
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Seconds, and milliseconds: a database server that is gone without a word must not hold a page for minutes.
    patience = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 15000}
    DATABASES["default"]["OPTIONS"] = {**patience, **DATABASES["default"].get("OPTIONS", {})}

# --- Broker and worker ----------------------------------------------------------------------------------------------
CELERY_BROKER_URL = text("CELERY_BROKER_URL")
BROKER_SCHEME = CELERY_BROKER_URL.partition("://")[0]
BROKER_NODES = CELERY_BROKER_URL.split(";")  # several sentinels, or nodes of one RabbitMQ
try:
    if BROKER_SCHEME not in {"redis", "rediss", "sentinel", "amqp", "filesystem"}:
        raise ValueError  # noqa: TRY301 - said below
    if any(urlsplit(node).scheme != BROKER_SCHEME or urlsplit(node).port == 0 for node in BROKER_NODES):
        raise ValueError  # noqa: TRY301 - said below
except ValueError:  # a port that is no number, too
    raise stop("CELERY_BROKER_URL não pôde ser lida. Exemplo: redis://127.0.0.1:6379/0.") from None
# A broker that is away or hung must not hold the person who waits for the page: LIBRARIES, trap 7. Each node is tried
# once; left to itself, kombu would sleep two seconds and try again.
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
    "max_retries": len(BROKER_NODES) - 1,
    "interval_start": 0,
    "interval_step": 0,
}
if BROKER_SCHEME == "filesystem":
    BROKER_DIR = Path(text("BROKER_DIR", str(VAR_DIR / "broker")))
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
        "polling_interval": 0.2,
    }
elif BROKER_SCHEME == "amqp":
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"read_timeout": 1, "write_timeout": 1}
else:
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"visibility_timeout": 600, "socket_connect_timeout": 1, "socket_timeout": 1}
if BROKER_SCHEME == "rediss":  # kombu would take any certificate
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
if BROKER_SCHEME == "sentinel":
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "master_name": text("CELERY_BROKER_MASTER_NAME"),
        "max_retries": 0,  # redis-py asks one sentinel after the other by itself,
        # and would ask each of them eleven times, with pauses: 18 seconds where all hang.
        "sentinel_kwargs": {"socket_connect_timeout": 0.2, "socket_timeout": 0.2, "retry": Retry(NoBackoff(), 0)},
    }
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "portal"
CELERY_WORKER_POOL = "solo"  # one mail at a time and the least memory; more workers are more processes
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "America/Campo_Grande"
#: Seconds between two sweeps of the outbox by a worker.
OUTBOX_SWEEP_SECONDS = number("OUTBOX_SWEEP_SECONDS", 10, least=1, most=600)

# --- Mail -----------------------------------------------------------------------------------------------------------
try:
    vars().update(environ.Env.email_url_config(text("EMAIL_URL")))
except (environ.ImproperlyConfigured, ValueError):
    raise stop("EMAIL_URL não pôde ser lida. Exemplo: smtp+tls://usuario:senha@servidor:587.") from None
DEFAULT_FROM_EMAIL = text("DEFAULT_FROM_EMAIL")
if not parseaddr(DEFAULT_FROM_EMAIL)[1].rpartition("@")[0]:
    raise stop("DEFAULT_FROM_EMAIL precisa de um endereço, como Sistemas Externos <nao-responda@tjms.jus.br>.")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
#: Where mail that cannot be delivered comes back to (``read_bounces``); a ``*`` in it becomes the mail's own mark.
BOUNCE_ADDRESS = text("BOUNCE_ADDRESS", parseaddr(DEFAULT_FROM_EMAIL)[1])
if parseaddr(BOUNCE_ADDRESS)[1] != BOUNCE_ADDRESS or not BOUNCE_ADDRESS.rpartition("@")[0]:
    raise stop("BOUNCE_ADDRESS precisa ser só um endereço, como devolucoes@tjms.jus.br ou devolucoes+*@tjms.jus.br.")
#: The mailbox behind it, where nobody but ``read_bounces`` reads; none: nobody does.
BOUNCE_MAILBOX = text("BOUNCE_MAILBOX", "")


if BOUNCE_MAILBOX and not is_mailbox(BOUNCE_MAILBOX):
    raise stop("BOUNCE_MAILBOX não pôde ser lida. Exemplo: imaps://usuario:senha@servidor/INBOX.")
EMAIL_TIMEOUT = 10
#: Days that a mail's row is kept once it went out or was replaced; twice as many where it could not be delivered.
MAIL_RETENTION_DAYS = number("MAIL_RETENTION_DAYS", 366, least=30, most=3660)
#: Domains of the addresses that a requester may give for the status mails, and staff with "Corrigir e-mail".
INSTITUTIONAL_DOMAINS = [word.lower() for word in words("INSTITUTIONAL_DOMAINS", "tjms.jus.br")]
#: Days that a provisional password is good, from the moment the mail server took the mail.
PROVISIONAL_PASSWORD_DAYS = 7
#: Whether who asked reads the name of whoever analyses the request; else "a Coordenadoria".
SHOW_HOLDER = boolean("SHOW_HOLDER", default=False)
#: Business days to correct a returned request.
RETURN_DAYS = number("RETURN_DAYS", 10, least=1, most=90)
#: Days that a draft of a form is kept after it was last changed.
DRAFT_DAYS = number("DRAFT_DAYS", 30, least=1, most=366)

# --- Sign-in --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.CpfBackend"]
PASSWORD_HASHERS = ["accounts.hashers.PortalArgon2PasswordHasher"]
PASSWORD_MIN_LENGTH = number("PASSWORD_MIN_LENGTH", 15, least=8, most=64)
PASSWORD_MAX_LENGTH = 128
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.LengthValidator"},
    {"NAME": "accounts.passwords.OwnDataValidator"},
    {"NAME": "accounts.passwords.ContextWordsValidator"},
    {"NAME": "accounts.passwords.CommonPasswordValidator"},
    {"NAME": "accounts.breaches.BreachedPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_RESET_TIMEOUT = 60 * 60
#: Staff prove themselves by a second factor too; the demonstration does without.
STAFF_MFA = boolean("STAFF_MFA", default=not PORTAL_DEMO)
#: SHA-1 digests of breached passwords, ordered, as Have I Been Pwned gives them for download; none: nobody asks.
BREACHED_PASSWORDS_FILE = text("BREACHED_PASSWORDS_FILE", "")
SESSION_ENGINE = "accounts.sessions"
SESSION_IDLE_MINUTES = number("SESSION_IDLE_MINUTES", 30, least=5, most=720)
SESSION_COOKIE_AGE = 60 * 60 * number("SESSION_HOURS", 12, least=1, most=24)
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "accounts.http.csrf_failure"
#: Days during which a security event cannot be deleted (DOMAIN §5: six months at least).
SECURITY_EVENT_RETENTION_DAYS = number("SECURITY_EVENT_RETENTION_DAYS", 366, least=183, most=3660)

# --- Captcha --------------------------------------------------------------------------------------------------------
RECAPTCHA_PUBLIC_KEY = text("RECAPTCHA_PUBLIC_KEY", "")
RECAPTCHA_PRIVATE_KEY = text("RECAPTCHA_PRIVATE_KEY", "")
RECAPTCHA_DOMAIN = text("RECAPTCHA_DOMAIN", "www.google.com")
RECAPTCHA_VERIFY_REQUEST_TIMEOUT = 3
if bool(RECAPTCHA_PUBLIC_KEY) != bool(RECAPTCHA_PRIVATE_KEY):
    raise stop("RECAPTCHA_PUBLIC_KEY e RECAPTCHA_PRIVATE_KEY andam juntas: defina as duas ou nenhuma.")
#: The newest signs challenges; one that an older one signed is still taken (``accounts.captcha.ChallengeVerifier``).
ALTCHA_HMAC_SECRET, *ALTCHA_HMAC_FALLBACKS = (
    hashlib.sha256(b"altcha:" + key.encode()).hexdigest() for key in (SECRET_KEY, *SECRET_KEY_FALLBACKS)
)
ALTCHA_VERIFIER = "accounts.captcha.ChallengeVerifier"
#: A bounded search: half a second on a desktop with two cores, one or two on a cheap telephone.
ALTCHA_CHALLENGE = {"algorithm": "PBKDF2/SHA-256", "cost": 4000, "max_number": 1000, "expires_seconds": 600}
ALTCHA_REPLAY_PROTECTION = False  # a cache may forget: used challenges are rows (accounts.captcha)

# --- Web ------------------------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
USE_X_FORWARDED_HOST = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1500
#: Files that came with requests, out of the web server's reach; the same folder for every machine.
ATTACHMENTS_DIR = Path(text("ATTACHMENTS_DIR", "/var/lib/portal/attachments"))
FILE_UPLOAD_HANDLERS = ["requests_app.uploads.UploadHandler"]
CONTENT_SECURITY_POLICY: dict[str, dict[str, Iterable[str]]] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}
STATIC_URL = "static/"
STATIC_ROOT = Path(text("STATIC_ROOT", str(VAR_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Language and time ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "pt-br"
LANGUAGES = [("pt-br", "Português (Brasil)")]
LOCALE_PATHS = [BASE_DIR / "bnmp_portal" / "locale"]  # before Django's own
TIME_ZONE = "America/Campo_Grande"
USE_I18N = True
USE_TZ = True

# --- Log ------------------------------------------------------------------------------------------------------------
LOG_LEVEL = text("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise stop("LOG_LEVEL deve ser DEBUG, INFO, WARNING, ERROR ou CRITICAL.")
#: ``json`` is for machines, ``line`` for people.
LOG_FORMAT = text("LOG_FORMAT", "line" if PORTAL_DEMO else "json").lower()
if LOG_FORMAT not in {"json", "line"}:
    raise stop("LOG_FORMAT deve ser json ou line.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"portal": {"()": "bnmp_portal.logs.formatter", "kind": LOG_FORMAT}},
    "filters": {"mark": {"()": "accounts.correlation.Mark"}, "redact": {"()": "bnmp_portal.logs.Redact"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "portal", "filters": ["mark", "redact"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Django's own handler would mail tracebacks, with what a person typed in them.
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
SILENCED_SYSTEM_CHECKS = [
    "django_recaptcha.recaptcha_test_key_error",  # ours (bnmp_portal.checks) knows that no keys means ALTCHA
    "altcha.W003",  # replay protection is ours, in rows: accounts.captcha
]
