"""Becomes one service: prepares what it reads, sets its environment, then runs its command.

``python -m feira_local.stack.launch NAME`` is what the supervisor runs, so that neither its
configuration nor a command line holds a secret.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from feira_local.stack.errors import StackError
from feira_local.stack.loopback import no_proxy
from feira_local.stack.postgres import become_server_user
from feira_local.stack.processes import kill_leftovers, record_start
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import Service, by_name
from feira_local.stack.services import services
from feira_local.stack.state import running_config

# The caller's own settings for these programs, and for the libraries in them, must not change what the stack does.
FOREIGN = (
    *("AIRFLOW", "_AIRFLOW", "AWS_", "DBT_", "FEIRA_", "PG", "PYSPARK_", "PYTHON", "SPARK_"),
    *("AIOSMTPD_", "ARROW_", "BOTO", "FSSPEC_", "MATPLOTLIBRC", "MPL", "OPENLINEAGE", "OTEL_"),
    *("PROMETHEUS_", "prometheus_", "PSYCOPG_", "PYICEBERG_"),
    # Spark has the first two on its class path, and by the next takes itself for YARN's: distrobox sets it.
    *("HADOOP_", "YARN_", "CONTAINER_ID", "LOCAL_DIRS", "LOG4J_"),
    # Of Java's three only JDK_JAVA_OPTIONS stays, which is how somebody gives the stack options of their own.
    *("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"),
    # uvicorn's, and what makes Airflow serve its page from a developer's server.
    *("FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY", "DEV_MODE"),
)


def environment(service: Service, caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without settings of the same programs, plus the service's own. Its proxy is not
    for loopback."""
    kept = {name: value for name, value in caller.items() if not name.startswith(FOREIGN)}
    if "FEIRA_REPOSITORY" in caller:
        kept["FEIRA_REPOSITORY"] = caller["FEIRA_REPOSITORY"]
    kept["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), kept.get("PATH", "/usr/bin:/bin")]
    )
    kept |= no_proxy(kept)
    kept["PYTHONUNBUFFERED"] = "1"
    kept["TZ"] = "UTC"
    kept["FEIRA_SERVICE"] = service.name
    return {**kept, **service.env, **service.private_env}


def main() -> None:
    name = sys.argv[1]
    config = running_config()
    secrets = load_secrets(config.home)
    service = by_name(services(config, secrets))[name]
    # What an earlier process of this service left behind when it was killed.
    kill_leftovers(config.run, name)
    record_start(config.run, name)
    if service.prepare is not None:
        service.prepare(config, secrets)
    env = environment(service, os.environ)
    service.cwd.mkdir(parents=True, exist_ok=True)
    os.chdir(service.cwd)
    if service.as_server_user:
        become_server_user()
    os.execvpe(service.command[0], list(service.command), env)


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        sys.exit(f"feira: {error}")
