"""docker-compose.yml against the program that it starts."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.celery import celery as celery_command
from django.core.management import get_commands, load_command_class

from store_project.celery import QUEUES, app
from store_project.config import BASE_DIR, MInsightConfig, StoreConfig, load

Service = dict[str, Any]

COMPOSE = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, Service] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "store"}
COMMANDS = {name: cast("str", service["command"]).split() for name, service in OURS.items()}
CELERY = {name: command for name, command in COMMANDS.items() if command[0] == "celery"}
MANAGE = {name: command for name, command in COMMANDS.items() if command[:2] == ["python", "manage.py"]}
FIELDS = {*StoreConfig.model_fields, *MInsightConfig.model_fields}
SECRETS = {f"{name}_file" for name in ("secret_key", "database_password")}
WORKERS = {name: command for name, command in CELERY.items() if "worker" in command}


def queues(command: list[str]) -> list[str]:
    return command[command.index("-Q") + 1].split(",")


def test_every_part_is_there() -> None:
    assert {"web", "worker", "inference", "beat", "postgres", "redis", "qdrant", "mosquitto"} <= set(SERVICES)
    assert set(CELERY) | set(MANAGE) == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_variables_are_those_of_the_configuration(name: str) -> None:
    assert {variable.lower() for variable in OURS[name]["environment"]} <= FIELDS | SECRETS


@pytest.mark.parametrize("name", OURS)
def test_variables_are_valid_and_nothing_stays_embedded(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "postgres_password").write_text("a secret")
    for variable, value in OURS[name]["environment"].items():
        there = str(value).replace("/run/secrets", str(tmp_path))
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", there))
    config = load(StoreConfig)
    load(MInsightConfig)
    assert config.database_password.get_secret_value() == "a secret"
    assert all([config.database_url, config.celery_broker_url, config.qdrant_url, config.mqtt_broker])


def test_every_queue_is_consumed_once() -> None:
    consumed = [queue for command in WORKERS.values() for queue in queues(command)]
    assert sorted(consumed) == sorted(QUEUES)


def test_inference_has_a_worker_of_its_own() -> None:
    assert ["inference"] in [queues(command) for command in WORKERS.values()]


@pytest.mark.parametrize("name", CELERY)
def test_celery_understands_its_commands(name: str) -> None:
    _, option, module, subcommand, *arguments = CELERY[name]
    assert option == "-A"
    assert find_app(module) is app
    with celery_command.make_context("celery", [option, module, subcommand]) as context:
        context.obj = CLIContext(app=app, no_color=True, workdir=None)
        command = celery_command.get_command(context, subcommand)
        assert command
        command.make_context(subcommand, arguments, parent=context).close()


@pytest.mark.parametrize("name", MANAGE)
def test_django_understands_its_commands(name: str) -> None:
    _, _, command, *arguments = MANAGE[name]
    owner = get_commands()[command]
    assert isinstance(owner, str)
    load_command_class(owner, command).create_parser("manage.py", command).parse_args(arguments)


def test_one_beat_only() -> None:
    assert [name for name, command in CELERY.items() if "beat" in command] == ["beat"]
    assert "deploy" not in SERVICES["beat"]  # no replicas


@pytest.mark.parametrize("name", SERVICES)
def test_what_keeps_running_is_checked(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) == (SERVICES[name]["restart"] == "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_can_be(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        finishes = wait["condition"] == "service_completed_successfully"
        assert finishes or "healthcheck" in SERVICES[other]


def test_volumes_are_declared_and_used() -> None:
    used = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_the_qdrant_server_fits_the_client() -> None:
    server = SERVICES["qdrant"]["image"].partition(":v")[2].split(".")
    client = version("qdrant-client").split(".")
    assert server[0] == client[0]
    assert abs(int(server[1]) - int(client[1])) <= 1


def test_the_image_is_built_with_the_same_uv() -> None:
    pins = [
        re.search(pattern, (BASE_DIR / file).read_text())
        for file, pattern in (("Makefile", r"UV_VERSION := (\S+)"), ("Dockerfile", r"uv==(\S+)"))
    ]
    assert len({pin and pin[1] for pin in pins}) == 1


def test_the_first_administrator_is_named_from_outside() -> None:
    """Where nobody is named, `web` makes none."""
    environment = OURS["web"]["environment"]
    for variable in ("FIRST_ADMIN_USERNAME", "FIRST_ADMIN_PASSWORD"):
        assert environment[variable] == f"${{{variable}:-}}"


@pytest.mark.parametrize("name", OURS)
def test_nothing_runs_as_root_or_writes_outside_its_data(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "1000:1000"
    assert service["read_only"]
    assert (service["tmpfs"], service["volumes"]) == (["/tmp"], ["data:/data"])  # noqa: S108
    assert service["cap_drop"] == ["ALL"]


def test_the_image_has_a_user_of_its_own() -> None:
    """The same number as in compose, so that the data folder is theirs."""
    lines = (BASE_DIR / "Dockerfile").read_text().splitlines()
    assert "USER store" in lines
    assert any("useradd --uid 1000" in line for line in lines)
    assert sum(line.startswith("FROM ") for line in lines) == 2, "what builds it is left behind"


def test_the_image_can_back_its_database_up() -> None:
    """With tools that are at least as new as the server."""
    tools = re.search(r"postgresql-client-(\d+)", (BASE_DIR / "Dockerfile").read_text())
    server = re.match(r"postgres:(\d+)", SERVICES["postgres"]["image"])
    assert tools
    assert server
    assert int(tools[1]) >= int(server[1])


@pytest.mark.parametrize("name", SERVICES)
def test_every_part_has_its_bounds(name: str) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= set(SERVICES[name])


@pytest.mark.parametrize("name", SERVICES)
def test_no_part_gains_rights_or_fills_the_disk_with_its_log(name: str) -> None:
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["logging"] == {"driver": "local"}  # which throws old lines away by itself


def test_the_database_is_not_taken_for_ready_while_it_is_being_made() -> None:
    """It is started once for that, for its own machine's sockets only, and stopped again."""
    test = SERVICES["postgres"]["healthcheck"]["test"]
    assert test[test.index("--host") + 1] == "127.0.0.1"


def test_no_password_is_written_down() -> None:
    text = (BASE_DIR / "docker-compose.yml").read_text()
    assert "POSTGRES_PASSWORD:" not in text
    declared = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert declared == set(COMPOSE["secrets"])
    assert "/secrets/" in (BASE_DIR / ".gitignore").read_text().splitlines()


def test_ready_is_what_is_asked_of_the_web() -> None:
    assert "/readyz" in " ".join(SERVICES["web"]["healthcheck"]["test"])


def test_the_listener_is_there_where_there_is_something_to_hear() -> None:
    assert SERVICES["listener"]["profiles"] == ["compute"]
