"""Runs the Ivy that the pyspark wheel ships: it fetches jars without Maven."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from feira_local.stack.errors import StackError
from feira_local.stack.java import java_command
from feira_local.stack.proxy import java_properties, shown, without_login
from feira_local.stack.secrets import write_private

CENTRAL = "https://repo1.maven.org/maven2/"
# In Ivy's log: what says why no answer came is worth more than that a module was not found.
_TELLING = (
    r"server access error|(client|server) error:|proxy requires authentication|host \S+ not found",
    r"exception|error|UNRESOLVED|not found|timed out",
)


def pyspark_jars() -> Path:
    """The jars inside the pyspark wheel."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise StackError("pyspark is not installed in this environment; run `make install`.")
    return Path(spec.origin).parent / "jars"


def start(
    scratch: Path, roots: list[tuple[str, bool]], *, poms: bool, excludes: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    """Starts one Ivy that retrieves ``roots`` (coordinates, transitive) into ``scratch``/out."""
    scratch.mkdir(parents=True)
    ivy_jars = list(pyspark_jars().glob("ivy-*.jar"))
    if not ivy_jars:
        raise StackError(f"{pyspark_jars()} holds no ivy-*.jar; run `make install` again.")
    dependencies = []
    for coordinates, transitive in roots:
        organisation, name, revision = coordinates.split(":")
        # Without POMs a module has the one configuration `default`.
        conf = "default->master,runtime" if poms else "default->default"
        dependencies.append(
            f'<dependency org="{organisation}" name="{name}" rev="{revision}" force="true" '
            f'transitive="{str(transitive).lower()}" conf="{conf}"/>'
        )
    for exclude in excludes:
        organisation, _, name = exclude.partition(":")
        dependencies.append(
            f'<exclude org="{organisation}" module="{name or ".*"}" matcher="exactOrRegexp"/>'
        )
    (scratch / "ivy.xml").write_text(
        '<ivy-module version="2.0"><info organisation="feira" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{''.join(dependencies)}</dependencies></ivy-module>",
        encoding="ascii",
    )
    repository = _repository()
    (scratch / "ivysettings.xml").write_text(
        '<ivysettings><settings defaultResolver="central"/><resolvers>'
        f'<ibiblio name="central" m2compatible="true" usepoms="{str(poms).lower()}" '
        # The lock's SHA-256 is the check; Maven's .sha1 files would double the requests.
        f'useMavenMetadata="false" checksums="" root={quoteattr(repository)}/></resolvers></ivysettings>',
        encoding="utf-8",
    )
    pattern = (
        "[organisation]/[revision]/[artifact]-[revision].[ext]"
        if poms
        else ("[artifact]-[revision].[ext]")
    )
    # Not words of the command, which every user of the machine sees.
    write_private(scratch / "java.options", _option_lines(java_properties(repository)))
    command = [
        java_command(),
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "@java.options",
        *("-cp", str(ivy_jars[0]), "org.apache.ivy.Main"),
        # Relative to its folder: Ivy takes the brackets of a path for its own placeholders.
        *("-settings", "ivysettings.xml"),
        *("-ivy", "ivy.xml"),
        *("-cache", "cache"),
        *("-confs", "default"),
        *("-retrieve", f"out/{pattern}"),
        "-types",
        *("jar", "bundle"),
    ]
    with (scratch / "ivy.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scratch,
        )


def _repository() -> str:
    """Maven Central, or the mirror that FEIRA_MAVEN_MIRROR names. Raises StackError where that is no URL."""
    mirror = os.environ.get("FEIRA_MAVEN_MIRROR") or CENTRAL
    try:
        parts = urlsplit(mirror)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "file" and not (parts.scheme in ("http", "https") and parts.hostname):
        raise StackError(
            f"FEIRA_MAVEN_MIRROR is no URL of a repository of Maven ({shown(mirror)}); it must be such as "
            "https://nexus.example.com/repository/maven. Unset it to ask Maven Central."
        )
    return mirror


def _option_lines(properties: Mapping[str, str]) -> str:
    """System properties as `java` reads them from a file."""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in properties.items()
    }
    return "".join(f'"-D{name}={value}"\n' for name, value in escaped.items())


def error_line(log: Path) -> str:
    """The line of Ivy's log that tells best what went wrong, without a mirror's password."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    telling = [
        line.strip()
        for pattern in _TELLING
        for line in lines
        if re.search(pattern, line, re.IGNORECASE)
    ]
    line = (telling or lines[-1:] or ["Ivy left no log."])[0]
    return without_login(line)[:300]
