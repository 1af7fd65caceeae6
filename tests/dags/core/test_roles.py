"""Who may do what in Airflow: each of the stack's users logs in to a real API server and tries."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import uvicorn

from feira_local.stack import airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets

if TYPE_CHECKING:
    from wiring_deployment import Deployment

DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag

@dag(schedule=None)
def daily():
    EmptyOperator(task_id="nothing")

daily()
"""
READS = {
    "sees the DAGs": ("GET", "dags", None),
    "sees a DAG's code": ("GET", "dagSources/daily", None),
    "sees runs": ("GET", "dags/daily/dagRuns", None),
    "sees pools": ("GET", "pools", None),
    "sees assets": ("GET", "assets", None),
}
RUNS = {
    "runs a DAG": ("POST", "dags/daily/dagRuns", {"logical_date": None}),
    "clears tasks": ("POST", "dags/daily/clearTaskInstances", {"dry_run": True}),
    "pauses a DAG": ("PATCH", "dags/daily", {"is_paused": True}),
    # With its history; its file brings it back. The one here is not there: who may is answered 404.
    "removes a DAG": ("DELETE", "dags/absent", None),
}
CHANGES = {
    "sees connections": ("GET", "connections", None),
    "makes a connection": ("POST", "connections", {"connection_id": "new", "conn_type": "http"}),
    "sees variables": ("GET", "variables", None),
    "sets a variable": ("POST", "variables", {"key": "new", "value": "1"}),
    "makes a pool": ("POST", "pools", {"name": "new", "slots": 1}),
}
MAY = {
    "viewer": {*READS},
    "monitor": {*READS},
    "operator": {*READS, *RUNS},
    "admin": {*READS, *RUNS, *CHANGES},
}


class Server:
    """A running API server of Airflow and the passwords of its users."""

    def __init__(self, url: str, passwords: dict[str, str]) -> None:
        self.url, self.passwords = url, passwords

    def log_in(self, user: str, password: str) -> requests.Response:
        login = {"username": user, "password": password}
        return requests.post(f"{self.url}/auth/token", json=login, timeout=120)

    def may(self, user: str) -> set[str]:
        """What of all the user is not refused."""
        token = self.log_in(user, self.passwords[user]).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        allowed = set()
        for name, (method, path, body) in (READS | RUNS | CHANGES).items():
            answer = requests.request(
                method, f"{self.url}/api/v2/{path}", json=body, headers=headers, timeout=120
            )
            # 409: another user has made it before.
            expected = {403, 409, 404 if "absent" in path else 200, 201}
            assert answer.status_code in expected, (name, answer.text)
            if answer.status_code != 403:
                allowed.add(name)
        return allowed


@pytest.fixture
def server(
    deploy: Callable[[Path], Deployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """With the users as the stack declares them, and one DAG."""
    from airflow.api_fastapi.app import create_app, purge_cached_app

    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "home")})
    secrets = load_secrets(config.home)
    config.airflow.mkdir()
    airflow.prepare(config, secrets)
    users = {
        name: value for name, value in airflow.settings(config).items() if "AUTH_MANAGER" in name
    }
    for name, value in (
        users | {"AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret}
    ).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "daily.py").write_text(DAG)
    deploy(folder)
    purge_cached_app()
    running = uvicorn.Server(
        uvicorn.Config(create_app(apps="core"), host="127.0.0.1", port=0, log_level="error")
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    passwords = {user: secrets.by_name()[f"airflow_{user}"] for user in airflow.USERS}
    yield Server(f"http://127.0.0.1:{port}", passwords)
    running.should_exit = True
    thread.join()
    purge_cached_app()


@pytest.mark.slow
def test_airflows_op_is_no_operator_it_may_do_all_that_an_admin_may(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
    monkeypatch.setenv(users, os.environ[users].replace("operator:user", "operator:op"))
    assert server.may("operator") == MAY["admin"]


def test_each_user_may_do_what_its_role_says_and_nothing_else(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    assert MAY.keys() == server.passwords.keys()
    assert {user: server.may(user) for user in MAY} == MAY
    # Another's password, none, and no login at all.
    assert server.log_in("admin", server.passwords["viewer"]).status_code == 401
    assert server.log_in("root", "").status_code in (400, 401)
    assert requests.get(f"{server.url}/api/v2/dags", timeout=120).status_code == 401
    shown = "".join(capfd.readouterr())
    assert not [user for user, password in server.passwords.items() if password in shown]
