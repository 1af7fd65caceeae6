"""The folder of a stack that does not run, as a first start leaves it."""

from __future__ import annotations

from feira_local.stack import airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import Secrets, load_secrets


def once_started() -> Secrets:
    """The secrets of the stack in ``FEIRA_HOME``, which was up before."""
    config = StackConfig.from_env()
    config.make_folders()
    secrets = load_secrets(config.home)
    airflow.prepare(config, secrets)
    return secrets
