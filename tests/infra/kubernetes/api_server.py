"""A kube-apiserver and an etcd of their own on loopback, without containers and without nodes, and a client of it.

`make test-k8s` builds both from Go modules. There are no controllers: what one would do, as pods of a Deployment or a
quota's state, the tests do.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from temporary_postgres import free_port

START_SECONDS = 180
Manifest = dict[str, Any]


class RefusedError(Exception):
    """The API server's no: its status, and what it says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """What an administrator, or with ``token`` a service account, asks the API server."""

    def __init__(self, url: str, ca: Path, token: str) -> None:
        self.url, self.ca, self.token = url, ca, token
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca)
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def ask(self, method: str, path: str, body: Any = None, **params: str) -> tuple[Any, list[str]]:
        """The answer and its warnings; raises RefusedError."""
        patch = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        answer = self._session.request(
            method, self.url + path, json=body, params=params, timeout=60, headers=patch
        )
        if answer.status_code >= 400:
            raise RefusedError(answer.status_code, answer.text)
        warned = answer.headers.get("Warning")
        return answer.json(), [warned] if warned else []

    def path(self, manifest: Manifest) -> str:
        """Where objects of its kind are, in its namespace if they have one."""
        version = manifest["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, manifest["kind"]) not in self._kinds:
            listed, _ = self.ask("GET", root)
            self._kinds |= {
                (version, each["kind"]): (each["name"], each["namespaced"])
                for each in listed["resources"]
                if "/" not in each["name"]
            }
        plural, namespaced = self._kinds[version, manifest["kind"]]
        inside = f"/namespaces/{manifest['metadata']['namespace']}" if namespaced else ""
        return f"{root}{inside}/{plural}"

    def create(self, manifest: Manifest) -> list[str]:
        """Creates an object, whose every field must be known; returns the warnings."""
        _, warned = self.ask("POST", self.path(manifest), manifest, fieldValidation="Strict")
        return warned

    def may(self, account: str, namespace: str, verb: str, resource: str) -> bool:
        """``kubectl auth can-i VERB RESOURCE --as system:serviceaccount:…`` in a namespace."""
        group, _, name = resource.rpartition("/")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{account}",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "group": group,
                    "resource": name,
                },
            },
        }
        answer, _ = self.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])


@contextmanager
def running(binaries: Path, folder: Path) -> Iterator[Api]:
    """An API server that is ready, with RBAC and the admission plugins that are on by default."""
    ports = [free_port() for _ in range(3)]
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    store = f"http://127.0.0.1:{ports[0]}"
    etcd: Mapping[str, str] = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": store,
        "advertise-client-urls": store,
        "listen-peer-urls": f"http://127.0.0.1:{ports[1]}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{ports[1]}",
        "initial-cluster": f"default=http://127.0.0.1:{ports[1]}",
        "unsafe-no-fsync": "true",
        "log-level": "error",
    }
    server: Mapping[str, str] = {
        "etcd-servers": store,
        "secure-port": str(ports[2]),
        "bind-address": "127.0.0.1",
        "cert-dir": str(folder / "certificates"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(folder / "accounts.key"),
        "service-account-signing-key-file": str(folder / "accounts.key"),
        "token-auth-file": str(folder / "tokens.csv"),
        "authorization-mode": "RBAC",
        "service-cluster-ip-range": "10.96.0.0/16",
        # It has no address that others could reach it by.
        "endpoint-reconciler-type": "none",
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, flags in (("etcd", etcd), ("kube-apiserver", server)):
            with (folder / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [binaries / name, *(f"--{flag}={value}" for flag, value in flags.items())],
                        stdout=log,
                        stderr=log,
                    )
                )
        certificate = folder / "certificates" / "apiserver.crt"
        api = Api(f"https://127.0.0.1:{ports[2]}", certificate, token)
        _wait(api, started, folder)
        yield api
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(api: Api, started: list[subprocess.Popen[bytes]], folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(f"{api.url}/readyz", verify=str(api.ca), timeout=5).status_code == 200:
                return
        except (requests.RequestException, OSError):
            pass
        died = [process.args for process in started if process.poll() is not None]
        if died or time.monotonic() > end:
            log = (folder / "kube-apiserver.log").read_text(errors="replace")
            raise RuntimeError(f"The API server is not ready ({died or 'too slow'}): {log[-2000:]}")
        time.sleep(0.2)
