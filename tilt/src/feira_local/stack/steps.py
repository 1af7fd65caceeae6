"""What is done once at a start: folders, databases and roles, Airflow's schema, Spark's warm-up."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import uuid
from importlib.metadata import version

from feira_local.stack import airflow, postgres
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import load_secrets
from feira_local.stack.spark import require_comet
from feira_local.stack.state import running_config, save


def home(_: StackConfig) -> None:
    """Makes the folders and the secrets, and keeps the environment's settings, as `feira up` does first: for a
    runner of containers, whose services begin with it."""
    config = StackConfig.from_env()
    config.make_folders()
    load_secrets(config.home)
    save(config)


def databases(config: StackConfig) -> None:
    """Brings databases, roles and privileges to what is stated in ``postgres``."""
    postgres.provision(load_secrets(config.home), config.ports.postgres, config.warehouse_database)


def airflow_migrate(config: StackConfig) -> None:
    """Migrates Airflow's metadata and makes its pools (15 s), unless both are this version's."""
    import psycopg

    from feira_airflow.core.pools import document

    stamp = config.airflow / "migrated"
    dsn = postgres.dsns(load_secrets(config.home), config.ports.postgres).airflow

    def revision() -> str:
        with psycopg.connect(dsn) as connection:
            found = connection.execute("select to_regclass('public.alembic_version')").fetchone()
            if not found or found[0] is None:
                return ""
            row = connection.execute("select version_num from alembic_version").fetchone()
            return row[0] if row else ""

    release = version("apache-airflow-core")
    pools = config.airflow / "pools.json"
    pools.write_text(document())

    def state() -> str:
        return f"{release} {revision()} {hashlib.sha256(pools.read_bytes()).hexdigest()}\n"

    if revision() and stamp.is_file() and stamp.read_text() == state():
        print(f"Airflow's metadata is at {revision()} already.")
        return
    # A task whose pool does not exist waits for ever and says so in the scheduler's log only.
    for arguments in (("db", "migrate"), ("pools", "import", str(pools))):
        ended = subprocess.run(airflow.command(*arguments), check=False)
        if ended.returncode != 0:
            raise StackError(f"`airflow {' '.join(arguments)}` ended with {ended.returncode}.")
    stamp.write_text(state())


WARMUP_SCHEMA = "lake.feira_warmup"


def spark_warmup(config: StackConfig) -> None:
    """Has the Spark server load, compile and cache what a pipeline run uses; leaves nothing behind."""
    from feira_spark.core.session import connect

    started = time.monotonic()
    spark = connect(config.spark_url)
    table = f"{WARMUP_SCHEMA}.t{uuid.uuid4().hex[:8]}"
    try:
        spark.sql(f"create namespace if not exists {WARMUP_SCHEMA}")
        spark.sql(
            f"create table {table} (k bigint, d date, amount decimal(18,4), note string) "
            "using iceberg partitioned by (d)"
        )
        rows = (
            "select id k, date_add(date'2020-01-01', cast(id % 3 as int)) d, "
            "cast(id as decimal(18,4)) / 7 amount, concat('n', id) note"
        )
        spark.sql(f"insert into {table} {rows} from range(1000)")
        spark.sql(f"alter table {table} create branch warm")
        spark.sql(
            f"merge into {table}.branch_warm t using ("
            f"  select * except (n) from (select *, row_number() over "
            f"  (partition by k order by amount desc) n from ({rows} from range(500, 1500))) "
            "   where n = 1) s on t.k = s.k "
            "when matched and s.k % 10 = 0 then delete "
            "when matched and t.amount is distinct from s.amount then update set * "
            "when not matched then insert *"
        )
        spark.sql(f"select count(*), sum(amount) from {table} version as of 'warm'").collect()
        spark.sql(f"call lake.system.fast_forward('{table}', 'main', 'warm')")
        print(f"Spark is warm after {time.monotonic() - started:.1f} s.")
    finally:
        spark.sql(f"drop table if exists {table} purge")
        spark.stop()
    _sweep(config)


def _sweep(config: StackConfig) -> None:
    """Drops the scratch schema, with tables that an interrupted warm-up left."""
    from feira_spark.core.session import connect

    spark = connect(config.spark_url)
    try:
        for row in spark.sql(f"show tables in {WARMUP_SCHEMA}").collect():
            spark.sql(f"drop table if exists {WARMUP_SCHEMA}.{row.tableName} purge")
        spark.sql(f"drop namespace if exists {WARMUP_SCHEMA}")
    finally:
        spark.stop()


STEPS = {
    "home": home,
    "databases": databases,
    "airflow-migrate": airflow_migrate,
    "spark-comet": require_comet,
    "spark-warmup": spark_warmup,
}

if __name__ == "__main__":
    try:
        STEPS[sys.argv[1]](running_config())
    except StackError as error:
        sys.exit(f"feira: {error}")
