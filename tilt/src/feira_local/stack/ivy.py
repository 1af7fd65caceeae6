"""Runs the Ivy that the pyspark wheel ships: it fetches jars without Maven."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from feira_local.stack.errors import StackError
from feira_local.stack.java import java_command


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
    mirror = os.environ.get("FEIRA_MAVEN_MIRROR")
    root = f" root={quoteattr(mirror)}" if mirror else ""  # Ivy's own default is Maven Central
    (scratch / "ivysettings.xml").write_text(
        '<ivysettings><settings defaultResolver="central"/><resolvers>'
        f'<ibiblio name="central" m2compatible="true" usepoms="{str(poms).lower()}" '
        # The lock's SHA-256 is the check; Maven's .sha1 files would double the requests.
        f'useMavenMetadata="false" checksums=""{root}/></resolvers></ivysettings>',
        encoding="utf-8",
    )
    pattern = (
        "[organisation]/[revision]/[artifact]-[revision].[ext]"
        if poms
        else ("[artifact]-[revision].[ext]")
    )
    command = [
        java_command(),
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *_proxy_options(),
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


def _proxy_options() -> list[str]:
    """Java reads no HTTPS_PROXY: hand it on as system properties."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if not proxy:
        return []
    url = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return [f"-Dhttps.proxyHost={url.hostname}", f"-Dhttps.proxyPort={url.port or 3128}"]


def error_line(log: Path) -> str:
    """The first line of Ivy's log that tells what went wrong, without a mirror's password."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    telling = [
        line.strip()
        for line in lines
        if re.search(r"exception|error|UNRESOLVED|not found|timed out", line, re.IGNORECASE)
    ]
    line = (telling or lines[-1:] or ["Ivy left no log."])[0]
    return re.sub(r"//[^/@\s]+@", "//…@", line)[:300]
