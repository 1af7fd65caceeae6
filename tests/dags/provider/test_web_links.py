"""Link headers as RFC 8288 has them, and what makes two URLs one origin."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira_provider.hooks.web_links import relation_links, same_origin, without_user

URL = "http://shop.test/v1/orders?page=1"


@pytest.mark.parametrize(
    "header",
    [
        "</x>; rel=next",
        '</x>; rel="next"',
        '</x>; rel="Next"',
        "</x>; REL=NEXT",
        '</x>; rel="last Next"',
        '</x>;rel="next\tprev"',
        '</x>; title="a, b; rel=\\"prev\\""; rel="next"',
        '</x>; rel = "next"',
        '</x>; hreflang=en; rel=next; title*=UTF-8\'de\'n%c3%a4chstes',
        '</x>; rel="next"; rel="prev"',
        '</y>; rel="prev", </x>; rel="next"',
        '</y>; rel="next http://example.org/next-season", </x>; rel="next"',
        '</x>; rel="next", </y>; rel="next"',
        '</y,z;rel=next>; rel="first", </x>; rel="next"',
        ", ,</x>; rel=next,",
        'nonsense, "a, b", </x>; rel=next',
        '</y>; rel="next"; anchor="#part", </x>; rel="next"',
        f'</x>; rel="next"; anchor="{URL}"',
        "</x>; crossorigin; rel=next",
        "<  /x >;rel=next",
        "</x>; rel='Next'",
        "</y>; rel='prev', </x>; rel='next'",
        "</x>; title='it'; rel=next",
        '</x>; rel="next',
    ],
)  # fmt: skip
def test_the_next_page_is_found_however_its_header_is_written(header: str) -> None:
    expected = (
        "http://shop.test/y" if header.startswith('</y>; rel="next http') else "http://shop.test/x"
    )
    assert relation_links(header, URL)["next"] == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "</x>",
        '</x>; rel="prev next-season"',
        '</x>; rel="http://example.org/next"',
        '</x>; rel="prev"; rel="next"',
        '</x>; rev="next"',
        '</x>; title="rel=next"',
        '</x>; title="a; rel=next"',
        '</x>; rel="next"; anchor="/other"',
        "</x; rel=next",
        'x; rel="next"',
        "</x>; title='rel=next'",
        '</x>; title="rel=next',
    ],
)
def test_what_is_no_link_to_the_next_page_is_none(header: str | None) -> None:
    assert "next" not in relation_links(header, URL)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("?page=2", "http://shop.test/v1/orders?page=2"),
        ("next", "http://shop.test/v1/next"),
        ("../v2/x", "http://shop.test/v2/x"),
        ("//other.test/x", "http://other.test/x"),
        ("https://other.test/a,b;c", "https://other.test/a,b;c"),
    ],
)
def test_a_target_is_resolved_against_the_url_that_was_asked(target: str, url: str) -> None:
    assert relation_links(f"<{target}>; rel=next", URL) == {"next": url}


TOKEN = st.text("abcNEXT-", min_size=1, max_size=5)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(
    targets=st.lists(st.from_regex(r"/[a-z,;=\"]{0,6}", fullmatch=True), min_size=1, max_size=4),
    title=TEXT,
    data=st.data(),
)
def test_every_link_of_a_header_is_read_whatever_its_texts_hold(
    targets: list[str], title: str, data: st.DataObject
) -> None:
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    links = [
        data.draw(
            st.sampled_from(
                [
                    f'<{target}>; title="{quoted}"; rel="R{n}"',
                    f'<{target}>; rel=r{n}; title="{quoted}"',
                ]
            )
        )
        for n, target in enumerate(targets)
    ]
    found = relation_links(
        data.draw(st.sampled_from([", ", ",", " , , "])).join(links), "http://a/"
    )
    assert found == {f"r{n}": urljoin("http://a/", target) for n, target in enumerate(targets)}


@given(header=st.text(st.sampled_from('<>;,="\\ relnxt/'), max_size=40))
def test_a_header_of_any_text_is_read_to_its_end(header: str) -> None:
    relation_links(header, URL)


SAME = [
    ("http://localhost/a", "http://LOCALHOST:80/b"),
    ("https://shop.test", "HTTPS://Shop.Test:443/x"),
    ("http://shop.test./", "http://shop.test/"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://BÜCHER.example/", "http://bücher.example:80/"),
    ("http://[::1]:8080/", "http://[0:0:0:0:0:0:0:1]:8080/"),
    ("http://[2001:DB8::a]/", "http://[2001:db8:0::A]:80/"),
    ("http://shop.test/", "http://someone@shop.test/"),
    ("http://shop.test/", "http://shop.test/@evil.test/"),
    ("http://shop.test/", "http://shop.test?u=http://evil.test/"),
    ("http://shop.test/", "http://shop.test:/x"),
]
OTHER = [
    ("http://shop.test/", "https://shop.test/"),
    ("http://shop.test/", "http://shop.test:8080/"),
    ("https://shop.test/", "https://shop.test:80/"),
    ("http://shop.test/", "http://shop.test@evil.test/"),
    ("http://shop.test/", "http://shop.test:80@evil.test/"),
    ("http://shop.test/", "http://evil.test\\@shop.test/"),
    ("http://shop.test/", "http://evil.test#@shop.test/"),
    ("http://shop.test/", "http://evil.test?@shop.test/"),
    ("http://shop.test/", "http://shop.test.evil.test/"),
    ("http://shop.test/", "ftp://shop.test/"),
    ("http://shop.test/", "file:///etc/passwd"),
    ("http://shop.test/", "/relative"),
    ("http://shop.test/", "http:///x"),
    ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"),
    ("ftp://shop.test/", "ftp://shop.test/"),
]


@pytest.mark.parametrize(("url", "other"), SAME)
def test_one_origin_may_be_written_in_several_ways(url: str, other: str) -> None:
    assert same_origin(url, other) and same_origin(other, url)


@pytest.mark.parametrize(("url", "other"), OTHER)
def test_another_origin_is_never_taken_for_ours(url: str, other: str) -> None:
    assert not same_origin(url, other) and not same_origin(other, url)


@pytest.mark.parametrize(
    "other", ["http://[shop.test/", "http://shop.test:99999/", "http://a:b:c/"]
)
def test_what_is_no_url_is_an_error_and_no_origin(other: str) -> None:
    with pytest.raises(ValueError):
        same_origin("http://shop.test/", other)


@pytest.mark.parametrize(
    ("url", "without"),
    [
        ("http://me:word@shop.test:81/x?a=%2F#b", "http://shop.test:81/x?a=%2F#b"),
        ("http://shop.test/x?mail=a@b", "http://shop.test/x?mail=a@b"),
        # As urllib3 connects: to shop.test, whatever follows the backslash.
        ("http://shop.test\\@evil.test/", "http://shop.test/%5C@evil.test/"),
    ],
)
def test_a_user_in_a_link_is_not_sent(url: str, without: str) -> None:
    assert without_user(url) == without
