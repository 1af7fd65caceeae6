"""What answers over HTTP, by the statuses that say that it works."""

from __future__ import annotations

import pytest
import requests

from answering import answering
from feira.monitoring.endpoints import Endpoint
from feira.monitoring.exporter import collect
from feira.monitoring.figures import Figures


def test_an_endpoint_is_up_by_its_own_statuses_and_named_by_its_answer_else() -> None:
    answers = {f"/{status}": (status, b"") for status in (200, 403, 500)}
    with answering(answers) as server:
        by_name = {
            "works": Endpoint("works", f"{server.url}/200"),
            "refuses": Endpoint("refuses", f"{server.url}/403"),
            "unsigned": Endpoint("unsigned", f"{server.url}/403", statuses=(200, 403)),
            "fails": Endpoint("fails", f"{server.url}/500", statuses=(200, 403)),
            "elsewhere": Endpoint("elsewhere", f"{server.url}/302"),
        }
        figures = Figures()
        collect(list(by_name.values()), figures)
        with pytest.raises(requests.HTTPError, match=r"/500 answered 500 and not 200 or 403"):
            by_name["fails"].collect(figures)
    up = {
        name: figures.registry.get_sample_value("feira_source_up", {"source": name})
        for name in by_name
    }
    assert up == {"works": 1, "refuses": 0, "unsigned": 1, "fails": 0, "elsewhere": 0}
    # The server has ended.
    with pytest.raises(requests.ConnectionError):
        by_name["works"].collect(figures)


def test_an_endpoint_is_asked_where_it_stands_whatever_proxy_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        # Nobody listens there.
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering({"/health": (200, b"")}) as server:
        Endpoint("api", f"{server.url}/health").collect(Figures())
