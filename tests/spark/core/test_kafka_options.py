"""A kafka connection's configuration reaches Spark's reader whole, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from feira.core.settings import SettingsError
from feira_spark.core.kafka import source_options

SERVERS = {"bootstrap.servers": "k1:9092,k2:9092"}
LOGIN = {"sasl.username": "feira", "sasl.password": 'p"\\w'}


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {}),
        ({"group.id": "g", "auto.offset.reset": "earliest", "socket.timeout.ms": 9}, {}),
        ({"isolation.level": None}, {}),
        ({"isolation.level": "READ_UNCOMMITTED"}, {"kafka.isolation.level": "read_uncommitted"}),
        (
            {"client.id": "c", "client.rack": "a", "check.crcs": True, "client.dns.lookup": "d"},
            {
                "kafka.client.id": "c",
                "kafka.client.rack": "a",
                "kafka.check.crcs": "True",
                "kafka.client.dns.lookup": "d",
            },
        ),
        ({"security.protocol": "ssl"}, {"kafka.security.protocol": "SSL"}),
        (
            {"ssl.ca.location": "/etc/ca.pem", "ssl.endpoint.identification.algorithm": "none"},
            {
                "kafka.ssl.truststore.type": "PEM",
                "kafka.ssl.truststore.location": "/etc/ca.pem",
                "kafka.ssl.endpoint.identification.algorithm": "",
            },
        ),
        (
            {"ssl.ca.pem": "---", "ssl.endpoint.identification.algorithm": "https"},
            {
                "kafka.ssl.truststore.type": "PEM",
                "kafka.ssl.truststore.certificates": "---",
                "kafka.ssl.endpoint.identification.algorithm": "https",
            },
        ),
        (
            {"sasl.mechanisms": "PLAIN", "security.protocol": "SASL_SSL"} | LOGIN,
            {
                "kafka.security.protocol": "SASL_SSL",
                "kafka.sasl.mechanism": "PLAIN",
                "kafka.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule "
                'required username="feira" password="p\\"\\\\w";',
            },
        ),
        (
            {"sasl.mechanism": "SCRAM-SHA-512"} | LOGIN,
            {
                "kafka.sasl.mechanism": "SCRAM-SHA-512",
                "kafka.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule "
                'required username="feira" password="p\\"\\\\w";',
            },
        ),
    ],
)
def test_what_the_clients_call_otherwise_is_said_in_sparks_words(
    config: dict[str, Any], options: dict[str, str]
) -> None:
    found = source_options(SERVERS | config)
    of_each = {
        "kafka.bootstrap.servers": "k1:9092,k2:9092",
        "kafka.isolation.level": "read_committed",
    }
    assert found == of_each | options


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"bootstrap.servers": ""}, "bootstrap.servers"),
        (SERVERS | {"ssl.keystore.location": "/k"}, "ssl.keystore.location"),
        (SERVERS | {"enable.ssl.certificate.verification": False}, "enable.ssl.certificate"),
        (SERVERS | {"sasl.oauthbearer.config": "x"}, "sasl.oauthbearer.config"),
        (SERVERS | {"oauth_cb": print}, "oauth_cb"),
        (SERVERS | {"https.ca.location": "/etc/ca.pem"}, "https.ca.location"),
        (SERVERS | {"plugin.library.paths": "decrypts"}, "plugin.library.paths"),
        (SERVERS | LOGIN, "sasl.mechanism None"),
        (SERVERS | LOGIN | {"sasl.mechanism": "GSSAPI"}, "'GSSAPI'"),
        (SERVERS | {"sasl.mechanism": "PLAIN", "sasl.username": "u"}, "sasl.username; Spark"),
    ],
)
def test_what_spark_cannot_be_given_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as found:
        source_options(config)
    assert 'p"' not in str(found.value)
