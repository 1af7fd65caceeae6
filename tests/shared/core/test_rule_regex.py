"""Patterns for both engines: which mean the same as they are, which are rewritten, which are refused."""

from __future__ import annotations

import pytest

from feira.core.contracts.rule_regex import PatternError, re2

SPACE, ANY = r"\t\n\x0B\f\r ", r"[^\n\r\x{85}\x{2028}\x{2029}]"


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "a", "ab*", "a+?", "a??b", "é+", "^a|b|", "(|a)", r"\Aa\z", r"\*+", r"\.\-\ "),
        *("a{2}", "a{2,}", "a{2,3}?b", "a{3,3}", "x{0}y", "a{2}b{3}", "a{1000}", "a{1,1000}"),
        *("(a{10}){100}", "(a{20}){50}b", "a{500}b{2}"),
        *(
            "(a)*",
            "(?:ab)+c",
            "((a)(b))",
            "(?:a(b)c)d",
            "a(?:b)",
            "ab(?:c)",
            "abc(?:d)",
            r"\d\D\w\W\t\n\r\f",
        ),
        *("[a]*", "[ab]c", "[^a]", "[a-c]", "[a-cx-z]", "[a-a]", "[a-b]c[d-e]f", "[ab-]c"),
        *("[-a]", "[a-]", "[^-a]", "[a-c-]", "[--a]", "[a^]", "[^a^]", "[a{}$.?*+|()]"),
        *(
            r"[\]]x",
            r"[\[\^]",
            r"[+-\]]x",
            r"[!-\/]",
            r"[\!-\/]x",
            r"[\t-a]",
            r"[\t-\r]",
            r"[\d\W-]",
            r"[\w\-a]",
        ),
    ],
)
def test_a_pattern_that_both_engines_read_alike_stays_as_it_is(pattern: str) -> None:
    assert re2(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "rewritten"),
    [
        (".", ANY),
        (".+x", f"{ANY}+x"),
        (r"\s", f"[{SPACE}]"),
        (r"\S{2}", f"[^{SPACE}]{{2}}"),
        (r"[\sx]", f"[{SPACE}x]"),
        (r"[^\s\d-]", rf"[^{SPACE}\d-]"),
    ],
)
def test_what_the_engines_read_otherwise_is_written_out(pattern: str, rewritten: str) -> None:
    assert re2(pattern) == rewritten


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        *((each, "follows nothing") for each in ("*", "^*", "(*a)", "a|+", r"\A*", r"\z?", "{2}")),
        *(
            (f"a{{{each}}}", f"{{{each} is no")
            for each in ("x", ",2", "2,x", "\u0663", "-1", "2,3,4")
        ),
        ("a{", "is no count"),
        ("a{2", "is no count"),
        ("a{2,1}", "{2,1} has the smaller second"),
        ("a{1001}", "come to 1001, more than 1000"),
        ("a{0,1001}", "come to 1001,"),
        ("a{1001,}", "come to 1001,"),
        ("(a{20}){50}b{2}", "come to 2000,"),
        ("a{500}b{0}c{3}", "come to 1500,"),
        *((f"a{each}", f"the count {each[:-1]!r}") for each in ("**", "*+", "??*", "+?+", "*??")),
        ("a+{2}", "the count '+'"),
        ("a{2}{3}", "the count '{2}'"),
        ("(?=a)", "'(?='"),
        ("x(?i)a", "'(?i'"),
        ("(?", "'(?'"),
        ("(?:", "not closed"),
        ("(?:a", "not closed"),
        ("((a)", "not closed"),
        ("a)", r"')': write \)"),
        ("(a))", r"')': write \)"),
        ("a]", r"']': write \]"),
        ("[^ab]+c]", r"']': write \]"),
        ("a}", r"'}': write \}"),
        ("a$b", r"write \z"),
        *((rf"x\{each}", rf"the escape \{each} ") for each in ("e", "p", "1", "é", "B", "Z", "")),
        *((f"[x\\{each}]", rf"the escape \{each} ") for each in "SeAz"),
        *((each, "']'") for each in ("[]", "[]a]", "[^]a]")),
        *((each, "its end") for each in ("[", "[a", "[^", "[-", r"[a\t")),
        ("[a-", "'-' between two"),
        ("[^^]", "'^'"),
        ("[^^a]", "'^'"),
        ("x[a&b]", "'&'"),
        ("[a[b]]", "'['"),
        ("[a-c-e]", "'-' between two"),
        (r"[\d-a]", r"\d-a is no range"),
        (r"[a-\d]", r"a-\d is no range"),
        (r"[\w-z]", r"\w-z is no range"),
        (r"[a-\W]", r"a-\W is no range"),
        (r"[\D-a]", r"\D-a is no range"),
        (r"[\s-a]", "is no range"),
        (r"[a-\s]", "is no range"),
        ("[c-a]", "c-a has the smaller second"),
        (r"[\]-+]", r"\]-+ has the smaller second"),
        (r"[a-\n]", r"a-\n has the smaller second"),
        (r"[\r-\t]", r"\r-\t has the smaller second"),
    ],
)
def test_what_the_engines_might_read_otherwise_is_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(PatternError) as refusal:
        re2(pattern)
    assert named in str(refusal.value)
