"""A stack's state folder, its ports and what its shop serves: read once from the environment."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from shutil import which
from typing import TypeVar

from feira.core.settings import LakeSettings, repository_root
from feira_local.stack.errors import StackError
from feira_local.stack.folders import folder_of, path_of, require_usable
from feira_local.stack.local_parts import LocalPart, local_parts
from feira_local.stack.own_connections import LAKE, as_airflow_reads, own_connections
from feira_local.stack.secrets import Secrets, make_private

HOST = "127.0.0.1"
BUCKET = "feira-lake"
REGION = "us-east-1"
# sun_path holds 108 bytes on Linux and 104 on macOS.
_LONGEST_SOCKET_PATH = 100
# Not TMPDIR, which is each shell's own: all must find the supervisor that one has started.
_SOCKETS = Path("/tmp")
# Of an `aws` connection: what AWS or its files must be asked for, as Airflow's hook does.
_LOOKED_UP = {"role_arn", "profile_name", "s3_config_file", "session_kwargs"}


@dataclass(frozen=True)
class Ports:
    """The loopback port of each service that listens."""

    postgres: int = 15432
    s3: int = 19000
    spark: int = 15002
    spark_master: int = 15077
    spark_master_ui: int = 15080
    spark_worker_1: int = 15081
    spark_worker_2: int = 15082
    shop: int = 18010
    inbox: int = 18025
    smtp: int = 18026
    airflow: int = 18080
    own: Mapping[str, int] = field(default_factory=dict)
    """Of the stack's parts, by the names that their ``local.py`` gives them."""

    def named(self) -> dict[str, int]:
        """Every port by name."""
        shared = {name: port for name, port in vars(self).items() if name != "own"}
        return shared | dict(self.own)


DEFAULT_PORTS = Ports().named()


@dataclass(frozen=True)
class ShopOptions:
    """What the shop simulator serves: a replay of the files in ``data``, or generated lines, and in how many
    clusters their products are bought together."""

    data: Path | None
    seed: int
    lines: int
    clusters: int = 40


class SparkOn(StrEnum):
    """Where Spark's work is done: in the server's own process, or by a master and two workers."""

    LOCAL = "local"
    CLUSTER = "cluster"


class WarehouseOn(StrEnum):
    """What the warehouse is: a database of PostgreSQL, or what stands for Redshift."""

    POSTGRES = "postgres"
    REDSHIFT = "redshift"


@dataclass(frozen=True)
class Monitoring:
    """The programs that monitoring runs, None for one that is not on this machine, and the URL below which the
    checkout's pages are read, if there is one."""

    prometheus: str | None = None
    alertmanager: str | None = None
    pages: str | None = None

    @classmethod
    def found(cls, env: Mapping[str, str]) -> Monitoring:
        """Those in the folder ``FEIRA_MONITORING_BIN``, else those on the ``PATH``; and ``FEIRA_PAGES_URL``.

        Raises StackError where that is no folder, or no URL.
        """
        folder = folder_of(
            env,
            "FEIRA_MONITORING_BIN",
            "; it must hold prometheus and alertmanager. Unset it to take those on the PATH",
        )
        pages = env.get("FEIRA_PAGES_URL") or None
        # It stands in a template and in a link.
        if pages and not re.fullmatch(r"https?://[\w.:/~%@+-]+", pages, re.ASCII):
            raise StackError(
                f"FEIRA_PAGES_URL is {pages!r}; it must be where the checkout's pages are read, as "
                "https://github.com/me/feira/blob/main. Without it an alert names its page by the path."
            )
        path = str(folder) if folder else env.get("PATH")
        return cls(
            pages=pages and pages.rstrip("/"),
            prometheus=which("prometheus", path=path),
            # Debian gives it another name.
            alertmanager=which("alertmanager", path=path)
            or which("prometheus-alertmanager", path=path),
        )


@dataclass(frozen=True)
class StackConfig:
    """One local stack. Two stacks live side by side with two homes and two port offsets."""

    home: Path
    repository: Path
    ports: Ports
    shop: ShopOptions
    # A folder of further DAGs, beside the repository's own.
    extra_dags: Path | None = None
    # Whether the pipelines run by the clock; otherwise by command only.
    clock: bool = False
    # Whether what runs reports what it reads and writes.
    lineage: bool = True
    # Parts that are not started, by name.
    without: tuple[str, ...] = ()
    # Whether it is watched: figures, and where there are programs for them, rules and alerts.
    monitoring: Monitoring | None = None
    spark_on: SparkOn = SparkOn.LOCAL
    warehouse_on: WarehouseOn = WarehouseOn.POSTGRES
    # Whether Spark has DataFusion Comet do what it can of a query.
    comet: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> StackConfig:
        """Reads ``FEIRA_HOME``, ``FEIRA_PORT_*``, ``FEIRA_PORT_OFFSET``, ``FEIRA_SHOP_*``,
        ``FEIRA_EXTRA_DAGS``, ``FEIRA_CLOCK``, ``FEIRA_LINEAGE``, ``FEIRA_WITHOUT``,
        ``FEIRA_MONITORING``, ``FEIRA_MONITORING_BIN``, ``FEIRA_SPARK``, ``FEIRA_WAREHOUSE_ON`` and
        ``FEIRA_COMET``.

        Raises StackError naming the variable, its value and what it may be.
        """
        repository = repository_root()
        home = path_of("FEIRA_HOME", env.get("FEIRA_HOME") or str(repository / ".feira"))
        require_usable("FEIRA_HOME", home)
        if os.path.isfile(home):
            raise StackError(
                f"FEIRA_HOME is {str(home)!r}, which is a file; it must be the folder of the stack's state."
            )
        # Java splits its class path, and the shell its PATH, at the colon.
        require_usable("The checkout", repository, os.pathsep)
        offset = _integer(env, "FEIRA_PORT_OFFSET", 0, lowest=-60000, highest=60000)
        ports = {}
        own = {name: port for part in local_parts() for name, port in part.ports.items()}
        for name, default in (DEFAULT_PORTS | own).items():
            variable = f"FEIRA_PORT_{name.upper()}"
            port = _integer(env, variable, default, lowest=1, highest=65535) + offset
            if not 1024 <= port <= 65535:
                raise StackError(
                    f"{variable} plus FEIRA_PORT_OFFSET is {port}; it must be 1024 to 65535."
                )
            ports[name] = port
        taken: dict[int, str] = {}
        for name, port in ports.items():
            if port in taken:
                raise StackError(
                    f"{taken[port]} and {name} both have port {port}; "
                    f"set FEIRA_PORT_{name.upper()} to another."
                )
            taken[port] = name
        extra = folder_of(env, "FEIRA_EXTRA_DAGS", " of DAG files")
        clock, lineage = (
            _switch(env, name, default)
            for name, default in (("FEIRA_CLOCK", False), ("FEIRA_LINEAGE", True))
        )
        if extra:
            require_usable("FEIRA_EXTRA_DAGS", extra)
        data = folder_of(
            env,
            "FEIRA_SHOP_DATA",
            "; it must hold the files to replay. Unset it for generated orders",
        )
        return cls(
            home=home,
            repository=repository,
            ports=Ports(
                **{name: ports[name] for name in DEFAULT_PORTS},
                own={name: ports[name] for name in own},
            ),
            extra_dags=extra,
            clock=clock,
            lineage=lineage,
            without=_parts(env.get("FEIRA_WITHOUT") or ""),
            monitoring=Monitoring.found(env) if _switch(env, "FEIRA_MONITORING", False) else None,
            spark_on=_one_of(SparkOn, env, "FEIRA_SPARK"),
            warehouse_on=_one_of(WarehouseOn, env, "FEIRA_WAREHOUSE_ON"),
            comet=_switch(env, "FEIRA_COMET", False),
            shop=ShopOptions(
                data=data,
                seed=_integer(env, "FEIRA_SHOP_SEED", 7, lowest=0, highest=2**31),
                lines=_integer(env, "FEIRA_SHOP_LINES", 10_000, lowest=1, highest=10_000_000),
                clusters=_integer(env, "FEIRA_SHOP_CLUSTERS", 40, lowest=1, highest=400),
            ),
        )

    @property
    def parts(self) -> tuple[LocalPart, ...]:
        """The stack's parts but for those that it is started without, or that were not asked for."""
        return tuple(
            part
            for part in local_parts()
            if (part.on_request(self) if part.on_request else part.name not in self.without)
        )

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Rendered configuration, process records and the supervisor's socket."""
        return self.home / "run"

    @property
    def lake(self) -> Path:
        """The S3 server's files: one folder a bucket."""
        return self.home / "lake"

    @property
    def airflow(self) -> Path:
        return self.home / "airflow"

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def spark(self) -> Path:
        return self.home / "spark"

    @property
    def jars(self) -> Path:
        """Fetched jars, one folder a set; shared by every stack of this checkout."""
        return self.repository / ".cache" / "jars"

    @property
    def socket(self) -> Path:
        """The supervisor's socket; in a folder in /tmp when the home's path is too long."""
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return _SOCKETS / f"feira-{os.geteuid()}-{name}" / "supervisor.sock"

    @property
    def warehouse_database(self) -> str:
        """The database of the stack's PostgreSQL that the warehouse is, or that is behind it."""
        return "warehouse" if self.warehouse_on is WarehouseOn.POSTGRES else "redshift"

    @property
    def s3_url(self) -> str:
        return f"http://{HOST}:{self.ports.s3}"

    @property
    def spark_url(self) -> str:
        return f"sc://{HOST}:{self.ports.spark}"

    @property
    def shop_url(self) -> str:
        return f"http://{HOST}:{self.ports.shop}"

    @property
    def inbox_url(self) -> str:
        """The page of received mail and Slack messages."""
        return f"http://{HOST}:{self.ports.inbox}"

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.ports.airflow}"

    def make_folders(self) -> None:
        """Makes the state folder; everyone may pass through it, only the owner reads in it.

        Raises StackError where the socket's folder is outside and not this user's alone.
        """
        for folder in (
            self.home,
            self.logs,
            self.run,
            self.lake / BUCKET,
            self.airflow,
            self.spark,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.logs, self.run, self.lake, self.airflow, self.spark):
            folder.chmod(0o700)
        if self.socket.parent != self.run:
            make_private(self.socket.parent)

    def lake_settings(self, secrets: Secrets) -> LakeSettings:
        """The lake on this stack's S3 server, or where its own connection says; its catalog is in
        this stack's PostgreSQL."""
        catalog = {
            "catalog": "jdbc",
            "catalog_uri": f"postgresql://{HOST}:{self.ports.postgres}/iceberg",
            "catalog_user": "iceberg",
            "catalog_password": secrets.postgres_iceberg,
        }
        own = own_connections(self.home).get(LAKE)
        if own is not None:
            extra = own.get("extra", {})
            if _LOOKED_UP & extra.keys():
                with as_airflow_reads(LAKE, own):
                    from feira_airflow.core.connections import lake_settings

                    return replace(lake_settings(LAKE), **catalog)
            return LakeSettings.from_aws(
                LAKE,
                access_key=own.get("login"),
                secret_key=own.get("password"),
                extra=extra,
                **catalog,
            )
        return LakeSettings(
            root=f"s3://{BUCKET}",
            endpoint=self.s3_url,
            access_key=secrets.s3_access_key,
            secret_key=secrets.s3_secret_key,
            region=REGION,
            **catalog,
        )


def _parts(text: str) -> tuple[str, ...]:
    names = sorted({name.strip() for name in text.split(",") if name.strip()})
    known = [part.name for part in local_parts() if not part.on_request]
    # A text of commas alone names nothing, and is no wish for everything.
    for name in names or ([text] if text else []):
        if name not in known:
            raise StackError(
                f"FEIRA_WITHOUT, or --without, names {name!r}; the parts of the stack are "
                f"{', '.join(known)}."
            )
    return tuple(names)


_Kind = TypeVar("_Kind", bound=StrEnum)


def _one_of(kinds: type[_Kind], env: Mapping[str, str], name: str) -> _Kind:
    """The value of a setting that has one of some words; without it the first of them."""
    text = env.get(name) or next(iter(kinds))
    if text not in set(kinds):
        raise StackError(f"{name} is {text!r}; it must be {' or '.join(kinds)}.")
    return kinds(text)


def _switch(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = env.get(name)
    if not text:
        return default
    if text not in ("on", "off"):
        raise StackError(f"{name} is {text!r}; it may be on or off.")
    return text == "on"


def _integer(env: Mapping[str, str], name: str, default: int, *, lowest: int, highest: int) -> int:
    text = env.get(name)
    if not text:
        return default
    value = int(text) if re.fullmatch(r"-?\d{1,18}", text) else None
    if value is None or not lowest <= value <= highest:
        raise StackError(f"{name} is {text!r}; it must be a whole number, {lowest} to {highest}.")
    return value
