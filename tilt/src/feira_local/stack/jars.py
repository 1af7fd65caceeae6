"""The Java programs of the stack: which jars, exactly, and fetching them from Maven Central.

``tilt/jars.lock`` names every jar with its SHA-256. Fetching takes what the lock says and nothing
else; ``feira jars lock`` resolves the sets below anew, through PySpark's Ivy.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import requests
import tenacity

from feira_local.stack import ivy
from feira_local.stack.errors import StackError

AWS_SDK = "2.29.52"
MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
ATTEMPTS, AT_ONCE = 3, 6


@dataclass(frozen=True)
class JarSet:
    """Programs on one class path, and the organisations (or regular expressions) left out."""

    name: str
    roots: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    # Spark's own jars are on the class path already; a second version beside them would compete.
    beside_spark: bool = False


SETS = (
    JarSet(
        "spark",
        roots=(
            "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
            "org.postgresql:postgresql:42.7.7",  # Iceberg's JDBC catalog
            "org.apache.hadoop:hadoop-aws:3.4.2",
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
    jars: Sequence[Jar], folder: Path, on_progress: Callable[[int], None] = lambda _: None
) -> None:
    """Fetches ``jars`` into ``folder``/<set>/ side by side and checks each against its SHA-256.

    ``on_progress`` gets the number of bytes of each piece, from several threads; it is negative where
    a jar is begun again. Raises StackError naming what could not be fetched, or what came with another
    hash; nothing unchecked reaches the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stopped = threading.Event()
    # On the same file system as the folder, so that a checked jar moves into place at once.
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def fetched(jar: Jar) -> None:
            draft = Path(scratch) / f"{jar.set}-{jar.file}"
            try:
                _download(_url(jar), draft, on_progress, stopped)
            except requests.RequestException as error:
                # Its own words hold the URL, and a mirror's may hold a password.
                status = error.response.status_code if error.response is not None else None
                raise StackError(
                    f"{jar.coordinates} could not be fetched in {ATTEMPTS} attempts "
                    f"({type(error).__name__}{f', status {status}' if status else ''}). Check the "
                    "network, then repeat `feira jars fetch`. FEIRA_MAVEN_MIRROR names a mirror."
                ) from error
            _install(jar, draft, folder)

        try:
            for done in as_completed([pool.submit(fetched, jar) for jar in jars]):
                done.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _url(jar: Jar) -> str:
    group, artifact, version = jar.coordinates.split(":")
    root = os.environ.get("FEIRA_MAVEN_MIRROR") or MAVEN_CENTRAL
    return "/".join((root.rstrip("/"), *group.split("."), artifact, version, jar.file))


@tenacity.retry(
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    retry=tenacity.retry_if_exception_type(requests.RequestException),
    reraise=True,
)
def _download(
    url: str, draft: Path, on_progress: Callable[[int], None], stopped: threading.Event
) -> None:
    taken = 0
    try:
        with draft.open("wb") as file, requests.get(url, stream=True, timeout=30) as answer:
            answer.raise_for_status()
            for piece in answer.iter_content(2**16):
                if stopped.is_set():
                    raise CancelledError
                file.write(piece)
                taken += len(piece)
                on_progress(len(piece))
    except requests.RequestException:
        on_progress(-taken)
        raise


def _install(jar: Jar, draft: Path, folder: Path) -> None:
    """Moves a fetched jar into place; StackError where it is another."""
    found = file_sha256(draft)
    if found != jar.sha256:
        raise StackError(
            f"{jar.coordinates} came with SHA-256 {found}, but tilt/jars.lock says {jar.sha256}. "
            "It was not installed. Fetch again; if it stays so, the repository or a proxy serves "
            "another file, and only `feira jars lock` accepts it."
        )
    target = folder / jar.set / jar.file
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(draft, target)


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
                ivy.start(scratch / jar_set.name, jar_set.roots, jar_set.excludes),
            )
            for jar_set in SETS
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


def free_space(folder: Path) -> int:
    """Free bytes on the file system that holds ``folder`` or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
