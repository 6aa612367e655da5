"""The head parser against the rules of RFC 9112, and against h11 as a second opinion."""

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.door.head import Head, HeadError, parse_head, take_head

BYTES_MAX = 4096
PUBLISH = (
    b"POST /api/publish HTTP/1.1\r\nHost: localhost:8000\r\nX-API-Key: k\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\n"
)


def head_of(line: bytes, *fields: bytes) -> Head:
    return parse_head(b"\r\n".join((line, *fields, b"", b"")))


def get(target: bytes) -> Head:
    return head_of(b"GET " + target + b" HTTP/1.1", b"Host: a")


def refused(line: bytes, *fields: bytes) -> tuple[int, str]:
    with pytest.raises(HeadError) as caught:
        head_of(line, *fields)
    return caught.value.status, caught.value.detail


def test_a_request_is_read() -> None:
    """Method, target, headers by lower-case name, and framing are what was sent; nothing is left over."""
    received = bytearray(PUBLISH + b"body")
    head = take_head(received, BYTES_MAX)
    assert head is not None
    assert (head.method, head.target, head.path, head.version) == (
        "POST",
        "/api/publish",
        "/api/publish",
        "1.1",
    )
    assert (head.header("x-api-key"), head.header("origin")) == ("k", "")
    assert (head.content_length, head.chunked, head.keep_alive) == (4, False, True)
    assert (head.raw, bytes(received)) == (PUBLISH, b"body")


def test_whitespace_around_values_is_no_part_of_them() -> None:
    """RFC 9112, 5.1: optional whitespace before and after a value is dropped, inside it is kept."""
    assert head_of(b"GET / HTTP/1.1", b"Host:\t a \t", b"X: a  b").headers == {"host": "a", "x": "a  b"}


def test_a_field_sent_twice_is_one_list() -> None:
    """RFC 9110, 5.3: values of one name are joined with a comma, cookies with a semicolon."""
    head = head_of(b"GET / HTTP/1.1", b"Host: a", b"Accept: x", b"accept: y", b"Cookie: a=1", b"Cookie: b=2")
    assert (head.header("accept"), head.header("cookie")) == ("x, y", "a=1; b=2")


def test_empty_lines_before_a_request_are_ignored() -> None:
    """RFC 9112, 2.2: old clients send an extra CRLF after a body."""
    received = bytearray(b"\r\n\r\n" + PUBLISH)
    head = take_head(received, BYTES_MAX)
    assert head is not None
    assert head.raw == PUBLISH


@pytest.mark.parametrize(
    ("target", "path", "query_string"),
    [
        (b"/", "/", ""),
        (b"/a%20b/%C3%A9?x=%20&y", "/a b/é", "x=%20&y"),
        (b"/a?b?c", "/a", "b?c"),
        (b"http://proxy.test:80/a?b", "/a", "b"),
        (b"HTTPS://proxy.test?b", "/", "b"),
        (b"http://proxy.test", "/", ""),
        (b"//a", "//a", ""),
    ],
)
def test_targets_are_read(target: bytes, path: str, query_string: str) -> None:
    """Origin and absolute form give a decoded path and the query as sent (RFC 9112, 3.2)."""
    head = get(target)
    assert (head.path, head.query_string) == (path, query_string)


def test_query_parameters_are_read() -> None:
    """Parameters are decoded as browsers encode them, in order, repeated ones included."""
    head = get(b"/sse?channel=a%3Ab&channel=x+y&empty=&channel=%C3%A9")
    assert head.query_all("channel") == ["a:b", "x y", "é"]
    assert (head.query("channel"), head.query("empty"), head.query("none")) == ("a:b", "", "")


def test_options_may_ask_about_the_server() -> None:
    """RFC 9112, 3.2.4: the asterisk form is for OPTIONS."""
    assert head_of(b"OPTIONS * HTTP/1.1", b"Host: a").path == "*"


def test_the_http2_preface_is_recognised() -> None:
    """A client that speaks HTTP/2 with prior knowledge is no error: its preface is the one 2.0 head."""
    head = take_head(bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), BYTES_MAX)
    assert head is not None
    assert (head.method, head.path, head.version, head.keep_alive) == ("PRI", "*", "2.0", False)


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"1.1", None, True),
        (b"1.1", b"close", False),
        (b"1.1", b"Upgrade, CLOSE", False),
        (b"1.1", b"keep-alive, close", False),
        (b"1.1", b"x-close", True),
        (b"1.0", None, False),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"upgrade", False),
    ],
)
def test_keep_alive_follows_version_and_connection(
    version: bytes, connection: bytes | None, keep_alive: bool
) -> None:
    """RFC 9112, 9.3: persistence is 1.1's default, 1.0's exception, and `close` always wins."""
    fields = [b"Host: a"] + ([b"Connection: " + connection] if connection is not None else [])
    assert head_of(b"GET / HTTP/" + version, *fields).keep_alive is keep_alive


def test_http_1_0_needs_no_host() -> None:
    """Host came with HTTP/1.1."""
    assert head_of(b"GET / HTTP/1.0").headers == {}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"*", 400),
        (b"a/b", 400),
        (b"ftp://a/b", 400),
        (b"a.test:443", 400),
        (b"/%", 400),
        (b"/%4", 400),
        (b"/%zz", 400),
        (b"/a?b=%g0", 400),
        (b"/%ff", 400),
        (b"/a?b=%c3%28", 400),
        (b"/a#b", 400),
    ],
)
def test_bad_targets_are_refused(target: bytes, status: int) -> None:
    """A target that is neither path nor URI, or does not decode, is a 400."""
    with pytest.raises(HeadError) as caught:
        get(target)
    assert caught.value.status == status


def test_connect_is_refused() -> None:
    """A node is no proxy."""
    assert refused(b"CONNECT a.test:443 HTTP/1.1", b"Host: a") == (
        501,
        "this is no proxy: CONNECT is not served",
    )


@pytest.mark.parametrize("version", [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9"])
def test_other_versions_are_refused(version: bytes) -> None:
    """Versions that are not spoken get a 505, also 2.0 outside its preface."""
    assert refused(b"GET / " + version, b"Host: a")[0] == 505


@pytest.mark.parametrize(
    ("fields", "status", "detail"),
    [
        ([], 400, "the Host header is missing"),
        ([b"Host:"], 400, "the Host header is not a host and a port"),
        ([b"Host: a/b"], 400, "the Host header is not a host and a port"),
        ([b"Host: a", b"host: a"], 400, "the host header was sent twice"),
        ([b"Host: a", b"Content-Length: 4", b"Content-Length: 5"], 400, "the content-length header was sent"),
        ([b"Host: a", b"Content-Length: 4", b"Content-Length: 4"], 400, "the content-length header was sent"),
        ([b"Host: a", b"Content-Length: 4, 4"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length: +4"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length: -1"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length: 0x4"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length: \xb2"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length:"], 400, "Content-Length is not a number of bytes"),
        ([b"Host: a", b"Content-Length: 9999999999999999"], 400, "Content-Length is not a number of bytes"),
        (
            [b"Host: a", b"Content-Length: 4", b"Transfer-Encoding: chunked"],
            400,
            "Content-Length and Transfer",
        ),
        (
            [b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"],
            400,
            "the transfer-encoding h",
        ),
        ([b"Host: a", b"Transfer-Encoding: gzip, chunked"], 501, "the only transfer coding understood is"),
        ([b"Host: a", b"Transfer-Encoding: xchunked"], 501, "the only transfer coding understood is"),
        ([b"Host: a", b"Transfer-Encoding : chunked"], 400, "there is whitespace between a header's name"),
        ([b"Host: a", b"X: 1", b" folded"], 400, "a header is folded over several lines"),
        ([b"Host: a", b"X: 1", b"\tfolded"], 400, "a header is folded over several lines"),
        ([b"Host: a", b"nocolon"], 400, "a header line has no colon"),
        ([b"Host: a", b": novalue"], 400, "a header's name has a character"),
        ([b"Host: a", b"X(Y): 1"], 400, "a header's name has a character"),
        ([b"Host: a", b"X\x00: 1"], 400, "a header's name has a character"),
        ([b"Host: a", b"X: a\x00b"], 400, "a header's value has a control character"),
        ([b"Host: a", b"X: a\x7f"], 400, "a header's value has a control character"),
        ([b"Host: a\nX: b"], 400, "a line ends with CR or LF alone"),
        ([b"Host: a\rX: b"], 400, "a line ends with CR or LF alone"),
    ],
)
def test_bad_fields_are_refused(fields: list[bytes], status: int, detail: str) -> None:
    """Every shape that two parsers could read differently is refused, and the answer names the rule."""
    got_status, got_detail = refused(b"POST / HTTP/1.1", *fields)
    assert got_status == status
    assert got_detail.startswith(detail)


def test_http_1_0_has_no_chunks() -> None:
    """RFC 9112, 6.1: a 1.0 message with Transfer-Encoding has faulty framing."""
    assert refused(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked")[0] == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/11",
        b"GET /a b HTTP/1.1",
    ],
)
def test_bad_request_lines_are_refused(line: bytes) -> None:
    """A request line is METHOD SP TARGET SP VERSION and nothing that resembles it."""
    assert refused(line, b"Host: a")[0] == 400


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"\nGET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * BYTES_MAX, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * BYTES_MAX + b"\r\n\r\n", 431),
        (b"G" * BYTES_MAX, 431),
    ],
)
def test_hopeless_beginnings_are_refused_at_once(received: bytes, status: int) -> None:
    """TLS on a plain port, bare LF and endless heads are answered without waiting for their end."""
    with pytest.raises(HeadError) as caught:
        take_head(bytearray(received), BYTES_MAX)
    assert caught.value.status == status


def test_details_repeat_nothing_that_was_sent() -> None:
    """A refusal is logged and sent back, so no secret of the request may be in it."""
    for fields in ([b"X-API-Key: secret\x00"], [b"secret secret: 1"], [b"Host: secret/"]):
        assert "secret" not in refused(b"GET / HTTP/1.1", *fields)[1]


# --- against h11 -----------------------------------------------------------------------------------

names = st.sampled_from(
    [b"Host", b"X", b"x-y", b"Content-Length", b"Transfer-Encoding", b"Connection", b"X ", b" X", b"A(", b""]
)
values = st.one_of(
    st.sampled_from(
        [b"a", b"chunked", b"3", b"03", b"3,3", b"close", b"a.test:80", b"[::1]:80", b" a ", b"\ta b\t", b""]
    ),
    st.binary(max_size=6),
)
fields = st.lists(st.builds(lambda name, value: name + b":" + value, names, values), max_size=4)
heads = st.builds(
    lambda method, target, version, fields, ends: ends.join(
        [method + b" " + target + b" " + version, *fields, b"", b""]
    ),
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"CONNECT", b"M-SEARCH", b"G T", b""]),
    st.one_of(st.sampled_from([b"/", b"/a?b=c", b"*", b"http://a/b", b"/%41", b"/%"]), st.binary(max_size=6)),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"]),
    st.one_of(fields, fields.map(lambda others: [b"Host: a", *others])),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]),
)


def take(received: bytes) -> Head | int | None:
    try:
        return take_head(bytearray(received), BYTES_MAX)
    except HeadError as error:
        return error.status


@settings(max_examples=1500, deadline=None)
@given(heads)
@example(PUBLISH)
@example(b"PRI * HTTP/2.0\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\nX: b\r\n\r\n")
def test_what_is_accepted_means_the_same_to_h11(raw: bytes) -> None:
    """An accepted head has one reading: h11 sees the same method, target, headers and body."""
    head = take(raw)
    if not isinstance(head, Head):
        return
    other = h11.Connection(h11.SERVER)
    body = b"3\r\nabc\r\n0\r\n\r\n" if head.chunked else b"abc" * 100
    other.receive_data(raw + body)
    request = other.next_event()
    assert isinstance(request, h11.Request)
    joined: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    # h11 writes the coding in lower case.
    ours = {key: text.lower() if key == "transfer-encoding" else text for key, text in head.headers.items()}
    assert joined == ours
    assert (request.method.decode(), request.target.decode(), request.http_version.decode()) == (
        head.method,
        head.target,
        head.version,
    )
    data = b""
    while isinstance(event := other.next_event(), h11.Data):
        data += event.data
    assert isinstance(event, h11.EndOfMessage) == (head.chunked or (head.content_length or 0) <= len(body))
    assert data == (b"abc" if head.chunked else body[: head.content_length or 0])


@settings(max_examples=300, deadline=None)
@given(st.one_of(heads, st.binary(max_size=60)), st.lists(st.integers(0, 200), max_size=4))
@example(PUBLISH, [20, 60, 62])
def test_any_split_reads_the_same(raw: bytes, cuts: list[int]) -> None:
    """However the bytes of a head arrive, it is accepted or refused the same."""
    received = bytearray()
    split: Head | int | None = None
    start = 0
    for cut in [*sorted(cuts), len(raw)]:
        received += raw[start:cut]
        start = max(start, cut)
        try:
            split = take_head(received, BYTES_MAX)
        except HeadError as error:
            split = error.status
        if split is not None:
            break
    whole = take(raw)
    assert split == whole or (isinstance(split, int) and isinstance(whole, int))


def test_every_split_of_a_request_reads_the_same() -> None:
    """One byte at a time gives the same head as all at once."""
    received = bytearray()
    for index in range(len(PUBLISH) - 1):
        received.append(PUBLISH[index])
        assert take_head(received, BYTES_MAX) is None
    received.append(PUBLISH[-1])
    assert take_head(received, BYTES_MAX) == parse_head(PUBLISH)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_head_errors(raw: bytes) -> None:
    """Whatever is sent, the parser answers with a head, a refusal or patience."""
    take(raw)
    take(b"GET / HTTP/1.1\r\n" + raw + b"\r\n\r\n")
