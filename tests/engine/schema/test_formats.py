import jsonschema_rs
import pytest

from midfill.engine.schema.formats import FORMATS
from midfill.engine.schema.patterns import Patterns

EXAMPLES = {
    "date": ("2024-02-29 2000-02-29 1999-12-31", "2023-02-29 1900-02-29 2024-13-01 2024-04-31 24-01-01"),
    "time": ("23:59:59Z 08:30:06.283185z 23:59:60Z 12:00:00-08:30", "24:00:00Z 12:00:00 12:60:00Z 12:00:00+24:00"),
    "date-time": ("1963-06-19T08:30:06.28Z 1990-12-31t15:59:50-08:00", "1990-02-31T15:59:59Z 1990-12-31 2024-01-01T1"),
    "duration": ("P4DT12H30M5S P1Y2M3D P2W PT36H PT1M", "P PT P1Y2W P1D2H P2D1Y 4DT PT1D"),
    "email": ("joe@example.com a+b@c te~st@[127.0.0.1] a@[IPv6:::1]", "joe .a@b.c a..b@c a@ @b a@-b"),
    "hostname": ("example.com a 1host xn--4gbwdl.xn--wgbh1c", "-a a- a..b under_score .a " + "a" * 64),
    "ipv4": ("192.168.0.1 0.0.0.0 255.255.255.255", "256.0.0.1 01.2.3.4 1.2.3 1.2.3.4.5"),
    "ipv6": (
        ":: ::1 1::8 1:2:3:4:5:6:7:8 1::3:4:5:6:7:8 ::42:ff:1 d6:: 1:2:3::192.168.0.1 1:2:3:4:5:6:7::",
        "1 12345:: 1:2:3:4:5:6:7:8:9 1::2::3 :2:3:4:5:6:7:8 1:2:3:4:5:6:7: 1:2:3:4:5:6:1.2.3 1:2:3:4:5:6:7:1.2.3.4",
    ),
    "uuid": (
        "2eb8aa08-aa98-11ea-b4aa-73b441d16380",
        "2eb8aa08-aa98-11ea-b4aa73b441d16380 2eb8aa08aa9811eab4aa73b441d16380",
    ),
    "uri": (
        "http://foo.bar/?q=Test%20URL#a mailto:a@b.c urn:isbn:1 http://[::1]:80/ file:///x ldap://[2001:db8::7]/c?d",
        "//foo /abs http://[::1 http://a:b:c/ :// http:///a\\b bar,baz:foo http://a/%zz",
    ),
    "uri-reference": ("http://a/b //foo /abs abs #frag ?q ./a:b", "\\\\WINDOWS #frag\\ment a{b}"),
    "iri": ("http://ƒøø.ßår/?∂éœ=πîx#πîüx", "/abs http://a<b"),
    "iri-reference": ("//ƒøø.ßår/ #ƒrägmênt", "#ƒräg\\mênt"),
    "uri-template": ("http://a/{term:1}/{+path,b*} plain {?q}", "http://a/{term:1 {} a}b {a:0}"),
    "json-pointer": ("/foo/bar~0/baz~1/%a /a/ / /foo//bar", "/foo/bar~ /~2 a #/a"),
    "relative-json-pointer": ("1 0/foo/bar 2#", "/foo 01 0## -1 #"),
}


def is_told(name: str, text: str) -> bool:
    pattern = Patterns().compile(FORMATS[name].pattern)
    state = pattern.start
    for char in text:
        state = pattern.step(state, char)
    return pattern.accepts(state)


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_told(name: str) -> None:
    right, wrong = (texts.split(" ") for texts in EXAMPLES[name])
    assert [text for text in right if not is_told(name, text)] == []
    assert [text for text in wrong if is_told(name, text)] == []


@pytest.mark.parametrize("name", FORMATS)
def test_shortest_text_of_a_format_is_right_for_an_independent_validator(name: str) -> None:
    pattern = Patterns().compile(FORMATS[name].pattern)
    validator = jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)
    assert validator.is_valid(pattern.shortest(pattern.start))


@pytest.mark.parametrize(("name", "begun", "ended"), [("date", "2024-0", "2024-01-01"), ("uuid", "2eb8aa08-", None)])
def test_begun_text_is_ended_in_its_format(name: str, begun: str, ended: str | None) -> None:
    pattern = Patterns().compile(FORMATS[name].pattern)
    state = pattern.start
    for char in begun:
        state = pattern.step(state, char)
    rest = pattern.shortest(state)
    assert rest is not None
    assert is_told(name, begun + rest)
    assert ended in (None, begun + rest)
