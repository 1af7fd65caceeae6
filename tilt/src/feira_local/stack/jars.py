"""The Java programs of the stack: which jars, exactly, and fetching them through PySpark's Ivy.

``tilt/jars.lock`` names every jar with its SHA-256. Fetching takes what the lock says and nothing
else; ``feira jars lock`` resolves the sets below anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from feira_local.stack import ivy
from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import local_parts

if TYPE_CHECKING:
    from feira_local.stack.config import StackConfig

AWS_SDK = "2.29.52"
SPARK = "4.1.1"
ATTEMPTS = 3


@dataclass(frozen=True)
class JarSet:
    """Programs on one class path, and the organisations (or regular expressions) left out."""

    name: str
    roots: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    # Spark's own jars are on the class path already; a second version beside them would compete.
    beside_spark: bool = False
    # Whether a stack asks for it; without this every stack does.
    on_request: Callable[[StackConfig], bool] | None = None


SETS = (
    JarSet(
        "spark",
        roots=(
            "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
            "org.postgresql:postgresql:42.7.7",  # Iceberg's JDBC catalog
            "org.apache.hadoop:hadoop-aws:3.4.2",
            # The readers of Kafka and of Avro, of exactly this Spark.
            f"org.apache.spark:spark-sql-kafka-0-10_2.13:{SPARK}",
            f"org.apache.spark:spark-avro_2.13:{SPARK}",
            "io.openlineage:openlineage-spark_2.13:1.53.0",  # its listener; all else is inside it
            # What S3A, Iceberg's S3FileIO and the Glue catalog use, in place of the 659 MB bundle.
            *(
                f"software.amazon.awssdk:{module}:{AWS_SDK}"
                for module in (
                    "s3",
                    "s3-transfer-manager",
                    "sts",
                    "apache-client",
                    "netty-nio-client",
                    "url-connection-client",
                    "glue",
                    "kms",
                    "dynamodb",
                )
            ),
        ),
        excludes=("software.amazon.awssdk:bundle",),
        beside_spark=True,
    ),
    JarSet(
        "comet",
        roots=("org.apache.datafusion:comet-spark-spark4.1_2.13:1.2.0",),
        beside_spark=True,
        on_request=lambda config: config.comet,
    ),
    JarSet(
        "s3proxy",
        roots=("org.gaul:s3proxy:4.1.0",),
        # The back ends for other clouds, and metrics export: files on disk need none of them.
        excludes=(
            "com.azure",
            "com.google.api",
            "com.google.api.grpc",
            "com.google.apis",
            "com.google.auth",
            "com.google.cloud",
            "com.google.cloud.opentelemetry",
            "com.google.http-client",
            "com.google.oauth-client",
            "com.google.protobuf",
            "com.github.openstack4j.core",
            "com.github.openstack4j.core.connectors",
            "com.microsoft.azure",
            "io.grpc",
            "io.opencensus",
            "io.opentelemetry",
            r"io\.opentelemetry\..*",
            "io.projectreactor",
            "io.prometheus",
            "com.squareup.okhttp3",
            "com.squareup.okio",
            "net.java.dev.jna",
            "org.apache.sshd",
            "org.threeten",
        ),
    ),
)


def jar_sets() -> tuple[JarSet, ...]:
    """What the stack's own programs are, and those of its parts."""
    return (*SETS, *(jar_set for part in local_parts() for jar_set in part.jars))


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    set: str
    coordinates: str
    file: str
    size: int
    sha256: str


def lock_path(repository: Path) -> Path:
    return repository / "tilt" / "jars.lock"


def read_lock(path: Path) -> list[Jar]:
    """The jars that the lock names. Raises StackError when it is missing or a line is malformed."""
    if not path.is_file():
        raise StackError(f"{path} is missing; `feira jars lock` makes it.")
    jars = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 5:
            raise StackError(f"{path}:{number} has {len(words)} columns, not 5: {line!r}")
        name, coordinates, file, size, sha256 = words
        jars.append(Jar(name, coordinates, file, int(size), sha256))
    return jars


def wanted_jars(config: StackConfig) -> list[Jar]:
    """What the lock names, without the sets that this stack does not ask for. Raises StackError as ``read_lock``."""
    left_out = {it.name for it in jar_sets() if it.on_request and not it.on_request(config)}
    return [jar for jar in read_lock(lock_path(config.repository)) if jar.set not in left_out]


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing_jars(jars: Iterable[Jar], folder: Path, *, thorough: bool = True) -> list[Jar]:
    """The jars that are absent or not as locked: by SHA-256, or by size when not thorough."""

    def is_good(jar: Jar) -> bool:
        path = folder / jar.set / jar.file
        if not path.is_file() or path.stat().st_size != jar.size:
            return False
        return not thorough or file_sha256(path) == jar.sha256

    jars = list(jars)
    with ThreadPoolExecutor(4) as pool:
        good = list(pool.map(is_good, jars))
    return [jar for jar, ok in zip(jars, good, strict=True) if not ok]


def fetch(
    jars: list[Jar],
    folder: Path,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    processes: int = 6,
) -> None:
    """Fetches ``jars`` into ``folder``/<set>/ side by side and checks each against its SHA-256.

    ``on_progress`` gets the bytes fetched so far. Raises StackError naming what could not be
    fetched, or what came with another hash; nothing unchecked reaches the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left, taken = list(jars), 0
    for attempt in range(1, ATTEMPTS + 1):
        # On the same file system as the folder, so that a checked jar moves into place at once.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch_name:
            scratch = Path(scratch_name)
            shares = _shares(left, processes)
            _run_ivy(shares, scratch, partial(_add, on_progress, taken))
            failed = [
                (jar, ivy.error_line(scratch / str(index) / "ivy.log"))
                for index, share in enumerate(shares)
                for jar in share
                if not _take(jar, scratch / str(index) / "out" / jar.file, folder)
            ]
        left = [jar for jar, _ in failed]
        taken = sum(jar.size for jar in jars) - sum(jar.size for jar in left)
        if not left:
            return
        if attempt == ATTEMPTS:
            raise StackError(
                f"{len(left)} jars could not be fetched in {ATTEMPTS} attempts, such as "
                f"{left[0].coordinates}: {failed[0][1]}\n"
                "Check the network, then repeat `feira jars fetch`. "
                "FEIRA_MAVEN_MIRROR names a mirror."
            )


def _add(on_progress: Callable[[int], None], before: int, done: int) -> None:
    on_progress(before + done)


def _run_ivy(shares: list[list[Jar]], scratch: Path, on_progress: Callable[[int], None]) -> None:
    running = [
        ivy.start(
            scratch / str(index),
            [(jar.coordinates, False) for jar in share],
            poms=False,
            excludes=(),
        )
        for index, share in enumerate(shares)
    ]
    try:
        while any(process.poll() is None for process in running):
            on_progress(_bytes_under(scratch))
            time.sleep(0.2)
        on_progress(_bytes_under(scratch))
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()


def _take(jar: Jar, source: Path, folder: Path) -> bool:
    """Moves a fetched jar into place; False when none came, StackError when it is another."""
    if not source.is_file():
        return False
    found = file_sha256(source)
    if found != jar.sha256:
        raise StackError(
            f"{jar.coordinates} came with SHA-256 {found}, but tilt/jars.lock says {jar.sha256}. "
            "It was not installed. Fetch again; if it stays so, the repository or a proxy serves "
            "another file, and only `feira jars lock` accepts it."
        )
    target = folder / jar.set / jar.file
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
    return True


def remove_unmanaged(jars: list[Jar], folder: Path) -> None:
    """Removes jars of an earlier lock, which would otherwise stay on the class path."""
    wanted = {(jar.set, jar.file) for jar in jars}
    for name in {jar.set for jar in jars}:
        for path in (folder / name).glob("*.jar"):
            if (name, path.name) not in wanted:
                path.unlink()


def resolve() -> list[Jar]:
    """Resolves every set with its dependencies, from the network, and hashes what came."""
    found: list[Jar] = []
    with tempfile.TemporaryDirectory(prefix="feira-jars-") as scratch_name:
        scratch = Path(scratch_name)
        running = [
            (
                jar_set,
                ivy.start(
                    scratch / jar_set.name,
                    [(root, True) for root in jar_set.roots],
                    poms=True,
                    excludes=jar_set.excludes,
                ),
            )
            for jar_set in jar_sets()
        ]
        for jar_set, process in running:
            process.wait()
            out = scratch / jar_set.name / "out"
            if process.returncode != 0 or not out.is_dir():
                raise StackError(
                    f"The set {jar_set.name} could not be resolved: "
                    f"{ivy.error_line(scratch / jar_set.name / 'ivy.log')}"
                )
            found += _hashed(jar_set, out)
    return found


def write_lock(path: Path, jars: list[Jar]) -> None:
    lines = [
        "# Every jar of the local stack. Made by `feira jars lock`; do not edit.",
        "# set  group:artifact:version  file  bytes  sha256",
        *(
            f"{jar.set} {jar.coordinates} {jar.file} {jar.size} {jar.sha256}"
            for jar in sorted(jars, key=lambda jar: (jar.set, jar.coordinates))
        ),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _hashed(jar_set: JarSet, out: Path) -> list[Jar]:
    own = {_artifact(path.name) for path in ivy.pyspark_jars().glob("*.jar")}
    jars = []
    # Retrieved as <organisation>/<revision>/<artifact>-<revision>.jar: the coordinates.
    for path in sorted(out.glob("*/*/*.jar")):
        organisation, revision = path.parts[-3], path.parts[-2]
        artifact = path.name.removesuffix(f"-{revision}.jar")
        if jar_set.beside_spark and artifact in own:
            continue
        coordinates = f"{organisation}:{artifact}:{revision}"
        jars.append(
            Jar(jar_set.name, coordinates, path.name, path.stat().st_size, file_sha256(path))
        )
    return jars


def _artifact(file: str) -> str:
    """``netty-buffer-4.2.7.Final.jar`` → ``netty-buffer``."""
    return re.sub(r"-\d[\w.\-]*\.jar$", "", file)


def _shares(jars: list[Jar], processes: int) -> list[list[Jar]]:
    """Splits the jars so that each process has about the same number of bytes, the largest first.

    Two versions of one module never meet in a share: Ivy would keep the newer only.
    """
    shares: list[list[Jar]] = [[] for _ in range(max(1, min(processes, len(jars))))]
    for jar in sorted(jars, key=lambda jar: -jar.size):
        free = [share for share in shares if all(_module(jar) != _module(it) for it in share)]
        if not free:
            shares.append([])
            free = shares[-1:]
        # A request's latency weighs as much as about a megabyte.
        min(free, key=lambda share: sum(item.size + 1_000_000 for item in share)).append(jar)
    return [share for share in shares if share]


def _module(jar: Jar) -> str:
    return jar.coordinates.rsplit(":", 1)[0]


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/cache/**/*"):
        # Ivy writes a jar under a temporary name and then renames it.
        if path.suffix in (".jar", ".part"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
    return total


def free_space(folder: Path) -> int:
    """Free bytes on the file system that holds ``folder`` or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
