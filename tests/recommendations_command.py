"""`feira recommendations` as a person runs it."""

from __future__ import annotations

from typer.testing import CliRunner

from feira_local import cli


def run(*arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output, and the error as `feira` prints it."""
    done = CliRunner().invoke(cli.app, ["recommendations", *arguments])
    if done.exception is None or isinstance(done.exception, SystemExit):
        return done.exit_code, done.stdout, done.stderr
    assert isinstance(done.exception, Exception)
    return done.exit_code, done.stdout, cli._message(done.exception)
