"""The formats of JSON Schema that a regular expression can tell: a pattern for the whole string and an example of each.

Left out: `regex`, and what no bounded automaton counts, as a host name's 253 characters. Dates know leap years.
Sources: RFC 3339 (dates, times, durations), 5321 and 1123 (mail, hosts), 3986 and 3987 (URIs, IRIs), 4291 (IPv6),
6570 (URI templates), 6901 (JSON pointers), 9562 (UUIDs).
"""

from typing import NamedTuple

_SHORT_MONTH = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_LONG_MONTH = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = f"(?:[0-9]{{4}}-(?:{_LONG_MONTH}|{_SHORT_MONTH}|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
_OFFSET = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_TIME = rf"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?{_OFFSET}|23:59:60(?:\.[0-9]+)?(?:[Zz]|[+-]00:00))"

_CLOCK = "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DAYS = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_DURATION = f"P(?:{_DAYS}(?:T{_CLOCK})?|T{_CLOCK}|[0-9]+W)"

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"


def _ipv6() -> str:
    """Eight groups, the last two as IPv4 if one likes, where `::` may stand for one or more that are zero."""
    group = "[0-9A-Fa-f]{1,4}"
    last = f"(?:{group}:{group}|{_IPV4})"
    forms = [f"(?:{group}:){{6}}{last}"]
    for after in range(6):
        before = f"(?:(?:{group}:){{0,{5 - after - 1}}}{group})?" if after < 5 else ""
        forms.append(f"{before}::(?:{group}:){{{after}}}{last}")
    forms.append(f"(?:(?:{group}:){{0,5}}{group})?::{group}")
    forms.append(f"(?:(?:{group}:){{0,6}}{group})?::")
    return f"(?:{'|'.join(forms)})"


_IPV6 = _ipv6()
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_EMAIL = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?:{_HOSTNAME}|\[(?:{_IPV4}|IPv6:{_IPV6})\])"

_UNRESERVED = r"A-Za-z0-9\-._~"
_BEYOND = r"\u{A0}-\u{D7FF}\u{F900}-\u{FDCF}\u{FDF0}-\u{FFEF}\u{10000}-\u{EFFFD}"
_PRIVATE = r"\u{E000}-\u{F8FF}\u{F0000}-\u{10FFFD}"
_SUB_DELIMITERS = "!$&'()*+,;="


def _uri(unreserved: str, private: str, *, relative: bool) -> str:
    """A URI or IRI; one that leaves out the scheme too, if `relative`."""

    def char(more: str) -> str:
        return f"(?:[{unreserved}{_SUB_DELIMITERS}{more}]|%[0-9A-Fa-f]{{2}})"

    ip = rf"\[(?:{_IPV6}|[vV][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB_DELIMITERS}:]+)\]"
    authority = f"(?:{char(':')}*@)?(?:{ip}|{char('')}*)(?::[0-9]*)?"
    segment = char(":@")
    path = f"//{authority}(?:/{segment}*)*|/(?:{segment}+(?:/{segment}*)*)?"
    tail = rf"(?:\?{char(f':@/?{private}')}*)?(?:#{char(':@/?')}*)?"
    whole = f"[A-Za-z][A-Za-z0-9+.-]*:(?:{path}|(?:{segment}+(?:/{segment}*)*)?){tail}"
    return f"(?:{whole}|(?:{path}|(?:{char('@')}+(?:/{segment}*)*)?){tail})" if relative else whole


def _template() -> str:
    """Text with expressions in braces, as `/users{/name:3}{?page,size*}`."""
    encoded = "%[0-9A-Fa-f]{2}"
    literal = rf"(?:[!#$&(-;=?-\[\]_a-z~{_BEYOND}]|{encoded})"
    name = f"(?:[A-Za-z0-9_]|{encoded})"
    variable = rf"{name}(?:\.?{name})*(?:\*|:[1-9][0-9]{{0,3}})?"
    return rf"(?:{literal}|\{{[+#./;?&=,!@|]?{variable}(?:,{variable})*\}})*"


_POINTER = r"(?:/(?:[^~/]|~[01])*)*"


class Format(NamedTuple):
    """How its strings look."""

    pattern: str
    example: str
    """What is written where nothing better is known: one that nobody takes for meant."""


FORMATS: dict[str, Format] = {
    name: Format(f"^(?:{pattern})$", example)
    for name, pattern, example in (
        ("date", _DATE, "2000-01-01"),
        ("time", _TIME, "00:00:00Z"),
        ("date-time", f"{_DATE}[Tt]{_TIME}", "2000-01-01T00:00:00Z"),
        ("duration", _DURATION, "P1D"),
        ("email", _EMAIL, "name@example.com"),
        ("hostname", _HOSTNAME, "example.com"),
        ("ipv4", _IPV4, "127.0.0.1"),
        ("ipv6", _IPV6, "::1"),
        ("uuid", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", "00000000-0000-0000-0000-000000000000"),
        ("uri", _uri(_UNRESERVED, "", relative=False), "https://example.com"),
        ("uri-reference", _uri(_UNRESERVED, "", relative=True), "/"),
        ("iri", _uri(_UNRESERVED + _BEYOND, _PRIVATE, relative=False), "https://example.com"),
        ("iri-reference", _uri(_UNRESERVED + _BEYOND, _PRIVATE, relative=True), "/"),
        ("uri-template", _template(), "/{id}"),
        ("json-pointer", _POINTER, "/"),
        ("relative-json-pointer", f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})", "0"),
    )
}
