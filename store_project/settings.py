"""Django settings, top to bottom. What an operator chooses comes from config.py; the rest is decided here."""

from __future__ import annotations

import ssl
from pathlib import Path

import dj_database_url
import django_stubs_ext

from store_project.config import StoreConfig, load
from store_project.secret_key import read_or_create
from vectors.schemas import CollectionSettings, VectorSettings

django_stubs_ext.monkeypatch()  # lets ModelAdmin and others be subscripted with their model

CONFIG = load(StoreConfig)
VERSION = "0.1.0"

DEBUG = CONFIG.debug
SECRET_KEY = CONFIG.secret_key.get_secret_value() or read_or_create(
    CONFIG.cl_server_dir / "keys" / "secret_key"
)
ALLOWED_HOSTS = [*CONFIG.allowed_hosts.split(","), "127.0.0.1"]  # whoever looks after the process
CSRF_TRUSTED_ORIGINS = [origin for origin in CONFIG.csrf_trusted_origins.split(",") if origin]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "vectors",
    "entities",
    "intelligence",
    "store_project",
]

MIDDLEWARE = [
    "store_project.requests.identified",
    "store_project.requests.measured",
    "store_project.content_policy.content_policy",
    "django.middleware.security.SecurityMiddleware",
    "store_project.requests.Guard",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "store_project.hostile_headers.plain_session_keys",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "store_project.urls"
WSGI_APPLICATION = "store_project.wsgi.application"
# Both spellings of a route are routed; a redirect would turn a POST into a GET and drop its body.
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "store_project.error_pages.csrf_failed"
# Views that take files name their own handlers.
FILE_UPLOAD_HANDLERS = ["store_project.no_files.NoFilesHandler"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data -------------------------------------------------------------------------------------------------

DATABASES = {
    "default": dj_database_url.parse(
        CONFIG.database_url or f"sqlite:///{CONFIG.cl_server_dir / 'store.db'}",
        conn_max_age=300,  # to connect costs as much as ten queries
        conn_health_checks=True,
    )
}
if CONFIG.database_password.get_secret_value():
    DATABASES["default"]["PASSWORD"] = CONFIG.database_password.get_secret_value()
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["ENGINE"] = "store_project.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        # Reading and then writing would fail with SQLITE_BUSY; IMMEDIATE waits for the others instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        # FULL: an upload that was answered 201 survives a power cut.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    # A server that is not there any more is noticed, instead of waited for as long as TCP does.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 10)
    # To compile a query can take a second or two where to run it takes a tenth: the planner knows no better.
    DATABASES["default"]["OPTIONS"].setdefault("options", "-c jit=off")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MEDIA_ROOT = CONFIG.media_root
MAX_UPLOAD_BYTES = CONFIG.max_upload_bytes
UPLOAD_BYTES_PER_DAY = CONFIG.upload_bytes_per_day
MAX_IMAGE_PIXELS = CONFIG.max_image_pixels
MIN_FREE_BYTES = CONFIG.min_free_bytes
# What is younger may be on its way: an audit leaves it alone.
AUDIT_GRACE_SECONDS = CONFIG.audit_grace_seconds
QUARANTINE_DAYS = CONFIG.quarantine_days
TRASH_RETENTION_DAYS = CONFIG.trash_retention_days

VECTORS = VectorSettings(
    path=CONFIG.cl_server_dir / "vectors",
    url=CONFIG.qdrant_url,
    api_key=CONFIG.qdrant_api_key.get_secret_value(),
    prefer_grpc=CONFIG.qdrant_prefer_grpc,
    timeout_seconds=CONFIG.qdrant_timeout_seconds,
    collections={
        "clip": CollectionSettings(CONFIG.qdrant_collections.clip, CONFIG.clip_vector_size),
        "dino": CollectionSettings(CONFIG.qdrant_collections.dino, CONFIG.dino_vector_size),
        "face": CollectionSettings(CONFIG.qdrant_collections.face, CONFIG.face_vector_size),
    },
)

# --- Security ---------------------------------------------------------------------------------------------

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = CONFIG.https
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if CONFIG.https else 0
# Asked inside the network, by what starts and watches the processes.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)/?$"]
# Only a proxy knows how it was asked; without one nobody may say.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CONFIG.https and CONFIG.proxies else None
# Whether other hosts of the same domain have HTTPS is not for the store to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- Web --------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
# Served from the packages themselves, so that a fresh install needs no collectstatic.
WHITENOISE_USE_FINDERS = True
# Browsers ask for /favicon.ico, whatever page they show.
WHITENOISE_ROOT = Path(__file__).parent / "at_root"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

AUTHENTICATION_BACKENDS = ["store_project.logins.CountedBackend"]
ANONYMOUS_READS_PER_MINUTE = CONFIG.anonymous_reads_per_minute
# What is counted of requests is counted for all web processes: embedded there is one.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CONFIG.celery_broker_url,
        "KEY_PREFIX": "store",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
    if CONFIG.celery_broker_url.startswith("redis")
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

AUTH_DISABLED = CONFIG.auth_disabled
PUBLIC_KEY_FILE = CONFIG.public_key_file
MEDIA_OPEN = CONFIG.media_open
METRICS_TOKEN = CONFIG.metrics_token.get_secret_value()

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "store_project.authentication.TokenAuthentication",
        "store_project.authentication.BrowserSessionAuthentication",
    ],
    # Reading and writing need their permissions unless a view says otherwise.
    "DEFAULT_PERMISSION_CLASSES": ["store_project.permissions.StoreAccess"],
    "DEFAULT_THROTTLE_CLASSES": ["store_project.throttling.AnonymousReads"],
    "NUM_PROXIES": CONFIG.proxies,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "store_project.negotiation.PreferenceNegotiation",
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "store_project.browser_pages.PageRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "store_project.documentation.StoreSchema",
    "EXCEPTION_HANDLER": "store_project.exceptions.shape_error",
    "UNAUTHENTICATED_USER": "store_project.authentication.Anonymous",
    "TEST_REQUEST_DEFAULT_FORMAT": "multipart",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Store",
    "DESCRIPTION": "A self-hosted media store with image intelligence.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "TAGS": [
        {
            "name": "entities",
            "description": "Photos, videos, other files, and the collections that hold them.",
        },
        {"name": "intelligence", "description": "What was found on images: faces, people, likeness."},
        {"name": "faces", "description": "Corrections to what was found."},
        {"name": "auth", "description": "Logging in, where no other service gives out tokens."},
        {"name": "users", "description": "Who asks."},
        {"name": "admin", "description": "What administrators set while the service runs."},
        {"name": "system", "description": "What administrators look after."},
        {"name": "health", "description": "What everybody may know."},
        {"name": "older spellings", "description": "Routes that older clients speak."},
    ],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "store_project.documentation.spell_without_slash",
        "store_project.documentation.mark_older_spellings",
        "store_project.documentation.add_examples",
    ],
}

# --- MQTT -------------------------------------------------------------------------------------------------

MQTT_BROKER = CONFIG.mqtt_broker
MQTT_PORT = CONFIG.mqtt_port
MQTT_USERNAME = CONFIG.mqtt_username
MQTT_PASSWORD = CONFIG.mqtt_password.get_secret_value()
# Clients take the port from the address by which they know the store.
MQTT_TOPIC_PORT = CONFIG.mqtt_topic_port or CONFIG.server_port

# --- Tasks ------------------------------------------------------------------------------------------------

COMPUTE_CLIENT_FACTORY = "store_project.composition.compute_client"
# Of each task: small, so that a fresh upload waits for few of a backlog.
COMPUTE_JOBS_OUTSTANDING = 32
COMPUTE_JOB_ATTEMPTS = 3
COMPUTE_JOB_DEADLINE_SECONDS = CONFIG.compute_job_deadline_seconds
COMPUTE_UPLOAD_LEASE_SECONDS = 2.5 * CONFIG.compute_timeout_seconds  # for a try, its pauses and another
COMPUTE_QUEUE_DEADLINE_SECONDS = CONFIG.compute_queue_deadline_seconds
COMPUTE_DELETE_ENDED_JOBS = CONFIG.compute_delete_ended_jobs
JOB_SILENCE_SECONDS = CONFIG.job_silence_seconds

CELERY_BROKER_URL = CONFIG.celery_broker_url or "memory://localhost/"
EMBEDDED_BROKER = not CONFIG.celery_broker_url
# House defaults, so that no task has to remember them. A task may run twice: each asks "still wanted?" first.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SOFT_TIME_LIMIT = 300
CELERY_TASK_TIME_LIMIT = 360
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
_BROKER_SCHEME = CONFIG.celery_broker_url.partition(":")[0]
CELERY_BROKER_TRANSPORT = (
    "store_project.redis_transport:Transport" if _BROKER_SCHEME in {"redis", "rediss"} else None
)
# Kombu would take any certificate. One that no authority has signed is named by ?ssl_ca_certs=FILE.
CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if _BROKER_SCHEME == "rediss" else None
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.02}  # the memory transport's default of 1 s moves four tasks a second
    if EMBEDDED_BROKER
    else {
        "visibility_timeout": 3600,  # longer than the longest task, else Redis delivers it again
        "socket_connect_timeout": 2,  # a request sends hints: it does not wait for a broker that is away
        "socket_timeout": 5,
    }
)
CELERY_TASK_DEFAULT_QUEUE = "reconcile"
CELERY_TASK_ROUTES = {
    "intelligence.tasks.dispatch": {"queue": "submit"},
    "intelligence.tasks.infer": {"queue": "inference"},
    "intelligence.tasks.finish_jobs": {"queue": "callbacks"},
    "intelligence.tasks.forget_job": {"queue": "callbacks"},
    "intelligence.tasks.recognise": {"queue": "recognition"},
    "intelligence.tasks.recluster": {"queue": "recognition"},
    "intelligence.tasks.encode_queries": {"queue": "queries"},
    "intelligence.tasks.tell_capabilities": {"queue": "queries"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "store_project.logs.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": CONFIG.log_format}},
    "root": {"handlers": ["console"], "level": CONFIG.log_level},
    "loggers": {
        # The last two tell of every request and every image: for programs that read, not for people.
        name: {"level": "WARNING"}
        for name in (
            *("celery", "httpx", "kombu", "PIL", "qdrant_edge", "httpcore", "parso", "asyncio"),
            *(("entities.trail", "store_project.requests") if CONFIG.log_format == "text" else ()),
        )
    },
}
