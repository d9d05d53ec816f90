"""HTTP/1.1 as such (RFC 9110, RFC 9112), spoken byte by byte: framing, limits, slow and rude peers,
few workers, stopping. What a request means to the registry is tested elsewhere."""

import os
import re
import socket
import ssl
import threading
import time

import pytest
from harness import Server, digest_of, exchange, local, noise, push_blob, with_query

HOST = b"Host: x\r\n"
CLOSE = HOST + b"Connection: close\r\n"
TARGET_MAX = 8192
HEAD_MAX = 32768
HEADERS_MAX = 64


class Raw:
    """A connection that sends what it is given and reads one reply after the other."""

    def __init__(self, server, timeout=30, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, *pieces, pause=0):
        for piece in pieces:
            self.socket.sendall(piece)
            if pause:
                time.sleep(pause)

    def more(self):
        piece = self.socket.recv(65536)
        self.got += piece
        return piece

    def head(self):
        """Status, headers (lower-case names), of the next reply."""
        while b"\r\n\r\n" not in self.got:
            assert self.more(), f"the connection ended in a head: {self.got!r}"
        text, self.got = self.got.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]*", first)
        assert match, first
        headers = {}
        for line in lines:
            name, value = line.split(": ", 1)
            headers.setdefault(name.lower(), value)
        return int(match[1]), headers

    def reply(self, method="GET"):
        """Status, headers, body of the next reply."""
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204, 304):
            return status, headers, b""
        size = int(headers["content-length"])
        while len(self.got) < size:
            assert self.more(), f"{len(self.got)} bytes of a body of {size}"
        body, self.got = self.got[:size], self.got[size:]
        return status, headers, body

    def ended(self, timeout=10):
        """Whether the server closes the connection, and says nothing more."""
        self.socket.settimeout(timeout)
        try:
            return self.got == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def quiet(self, seconds=0.3):
        """Whether the server says nothing for a moment, and keeps the connection."""
        self.socket.settimeout(seconds)
        try:
            return self.got == b"" and self.socket.recv(1) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(30)


@pytest.fixture
def raw(server):
    with Raw(server) as connection:
        yield connection


def quick(folder, **limits):
    """A server that loses its patience soon."""
    chosen = {"workers": "8", "io_timeout": "1s", "head_timeout": "1s", "idle_timeout": "1s", **limits}
    env = {f"BERTH_LIMITS_{name.upper()}": str(value) for name, value in chosen.items()}
    # Freed memory is to be given back at once, so that a leak can be told from the sanitizer's hoard.
    env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    return Server(folder, env=env)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    with quick(tmp_path_factory.mktemp("impatient")) as s:
        yield s


def begin_upload(server, repo):
    with server.client() as client:
        return local(client.post(f"/v2/{repo}/blobs/uploads/").location)


def upload_size(server, location):
    with server.client() as client:
        reply = client.get(location)
        assert reply.status == 204, reply
        last = reply.header("Range").split("-")[1]
        return 0 if last in ("", "0") else int(last) + 1


def send_until_refused(connection, piece, pieces):
    """Send the piece many times; a server that has heard enough may end that."""
    try:
        for _ in range(pieces):
            connection.socket.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass


# Connections. -----------------------------------------------------------------------------------


def test_a_connection_serves_many_requests(raw):
    for _ in range(50):
        raw.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
        status, headers, _ = raw.reply()
        assert status == 200 and "connection" not in headers
    assert raw.quiet()


def test_pipelined_requests_are_answered_in_order(raw):
    requests = [b"GET /v2/ HTTP/1.1\r\n", b"HEAD /v2/nobody/manifests/x HTTP/1.1\r\n",
                b"GET /v2/_catalog HTTP/1.1\r\n", b"DELETE /v2/ HTTP/1.1\r\n"]
    raw.send(b"".join(r + HOST + b"\r\n" for r in requests * 25))
    for _ in range(25):
        assert raw.reply()[0] == 200
        assert raw.reply("HEAD")[0] == 404
        assert raw.reply()[0] == 200
        assert raw.reply()[0] == 405
    assert raw.quiet()


def test_a_pipelined_request_may_follow_a_body(server, raw, repo):
    location = begin_upload(server, repo).encode()
    patch = b"PATCH " + location + b" HTTP/1.1\r\n" + HOST
    raw.send(patch + b"Content-Length: 5\r\n\r\nhello" + b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n" +
             patch + b"Transfer-Encoding: chunked\r\n\r\n6\r\n world\r\n0\r\n\r\n" +
             b"GET /v2/_catalog HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [raw.reply()[0] for _ in range(4)] == [202, 200, 202, 200]
    assert upload_size(server, location.decode()) == 11


def test_a_request_may_come_byte_by_byte(raw):
    raw.send(*(bytes([b]) for b in b"GET /v2/ HTTP/1.1\r\n" + CLOSE + b"\r\n"), pause=0.002)
    assert raw.reply()[0] == 200
    assert raw.ended()


def test_empty_lines_before_a_request_are_ignored(raw):
    raw.send(b"\r\n\r\nGET /v2/ HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert raw.reply()[0] == 200


def test_close_is_obeyed_and_announced(raw):
    raw.send(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n" +
             b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
    status, headers, _ = raw.reply()
    assert status == 200 and headers["connection"] == "close"
    assert raw.ended()


def test_http_1_0_closes_unless_asked_to_stay(server):
    with Raw(server) as c:
        c.send(b"GET /v2/ HTTP/1.0\r\n\r\n")
        status, headers, _ = c.reply()
        assert status == 200 and headers["connection"] == "close"
        assert c.ended()
    with Raw(server) as c:
        for _ in range(3):
            c.send(b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, headers, _ = c.reply()
            assert status == 200 and headers["connection"] == "keep-alive"


def test_a_half_closed_connection_gets_its_answers(server):
    got = exchange(server, (b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n") * 3, close_write=True)
    assert got.count(b"HTTP/1.1 200 ") == 3


# Targets and replies. ---------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"http://registry.example:5000/v2/", b"HTTPS://registry.example/v2/"])
def test_an_absolute_target_means_its_path(raw, target):
    raw.send(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert raw.reply()[0] == 200


def test_a_reply_has_a_date_and_a_length(raw):
    raw.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
    _, headers, body = raw.reply()
    day = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
    assert re.fullmatch(day + r", \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])
    assert int(headers["content-length"]) == len(body)


def test_head_has_the_headers_of_get_and_no_body(server, client, raw, repo):
    digest = push_blob(client, repo, noise(100000, repo))
    missing = digest_of(b"not there")
    for target in [f"/v2/{repo}/blobs/{digest}", f"/v2/{repo}/blobs/{missing}", "/v2/", "/nothing"]:
        line = f" {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
        raw.send(b"HEAD" + line + b"GET" + line)
        head_status, head, _ = raw.reply("HEAD")
        get_status, get, body = raw.reply()
        head.pop("date"), get.pop("date")
        assert head_status == get_status
        assert head == get or get_status >= 400
        assert len(body) == int(get["content-length"])


def test_range_headers_reach_the_registry(client, raw, repo):
    blob = noise(1000, repo)
    digest = push_blob(client, repo, blob)
    raw.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nRange: bytes=10-19\r\n".encode() + HOST + b"\r\n")
    status, headers, body = raw.reply()
    assert (status, body) == (206, blob[10:20])
    assert headers["content-range"] == "bytes 10-19/1000"


def test_header_names_have_no_case(client, raw, repo):
    digest = push_blob(client, repo, b"0123456789")
    raw.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nhOsT: x\r\nrANGE: \t bytes=1-2 \t\r\n\r\n".encode())
    assert raw.reply()[2] == b"12"


# Malformed and ambiguous requests: refused, and nothing after them is taken for a request. ------


SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

MALFORMED = {
    "http 0.9": b"GET /v2/\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /v2/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /v2/ x HTTP/1.1\r\n" + HOST + b"\r\n",
    "control in the target": b"GET /v2/\x07 HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without slash": b"GET v2 HTTP/1.1\r\n" + HOST + b"\r\n",
    "other scheme": b"GET ftp://x/v2/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority": b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower-case version": b"GET /v2/ http/1.1\r\n" + HOST + b"\r\n",
    "bare LF": b"GET /v2/ HTTP/1.1\nHost: x\n\n",
    "bare LF in headers": b"GET /v2/ HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "bare CR": b"GET /v2/ HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "NUL": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "folded line": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "space before the colon": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    "no colon": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
    "no name": b"GET /v2/ HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "name with a bracket": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA(b: c\r\n\r\n",
    "no host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "host with a path": b"GET /v2/ HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "length and coding": b"POST /v2/ HTTP/1.1\r\n" + HOST +
                         b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": b"POST /v2/ HTTP/1.1\r\n" + HOST +
                         b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "the same length twice": b"POST /v2/ HTTP/1.1\r\n" + HOST +
                             b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "list of lengths": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 0, 0\r\n\r\n",
    "signed length": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: +0\r\n\r\n",
    "negative length": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "hex length": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 0x0\r\n\r\n",
    "empty length": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\n",
    "length over 2^63": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 9223372036854775808\r\n\r\n",
    "chunked twice": b"POST /v2/ HTTP/1.1\r\n" + HOST +
                     b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST /v2/ HTTP/1.1\r\n" + HOST +
                        b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity coding": b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_gets_400_and_ends_the_connection(server, raw, request_bytes):
    start = server.log_size()
    raw.send(request_bytes + SMUGGLED)
    status, headers, body = raw.reply()
    assert status == 400
    assert headers["connection"] == "close"
    assert b"<html" not in body.lower()
    assert raw.ended()
    assert "smuggled" not in server.log_text(start)


@pytest.mark.parametrize("request_bytes, status", [
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET /v2/ HTTP/3.0\r\n" + HOST + b"\r\n", 505),
    (b"POST /v2/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"A" * 100 + b" /v2/ HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"PUT /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nExpect: a-miracle\r\n\r\n", 417),
])
def test_what_is_not_spoken_is_refused_by_its_own_status(raw, request_bytes, status):
    raw.send(request_bytes)
    got, headers, _ = raw.reply()
    assert got == status
    assert headers["connection"] == "close"
    assert raw.ended()


def test_tls_on_the_plain_port_is_turned_away_at_once(server):
    context = ssl.create_default_context()
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s, server_hostname="localhost")
    assert time.monotonic() - begun < 10
    told = [line for line in server.log_text().splitlines() if "speaks TLS" in line]
    assert len(told) == 1 and " status=400 peer=127.0.0.1 " in told[0]
    assert "method=" not in told[0] and "path=" not in told[0]


# Limits of a head. ------------------------------------------------------------------------------


def test_the_longest_target_is_taken_and_one_byte_more_is_414(server):
    for more, expected in [(0, {200, 400, 404}), (1, {414})]:
        with Raw(server) as c:
            path = b"/v2/?" + b"a" * (TARGET_MAX - 5 + more)
            c.send(b"GET " + path + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert c.reply()[0] in expected
            assert c.ended()


def test_a_long_request_is_logged_with_all_its_keys(server, repo):
    with server.client() as client:
        start = server.log_size()
        long = "x" * 3000
        reply = client.get(f"/v2/{repo}/manifests/{long}?ns={long}", {"User-Agent": f"{long}/1.0"})
        assert reply.status == 404
    lines = [line for line in server.log_text(start).splitlines() if "msg=request" in line]
    assert len(lines) == 1 and len(lines[0]) < 4096
    keys = re.findall(r" (\w+)=(\S+)", lines[0])
    assert [k for k, _ in keys] == ["level", "msg", "method", "status", "peer", "sent", "received", "us",
                                    "path", "query", "agent"]
    values = dict(keys)
    assert (values["method"], values["status"], values["peer"]) == ("GET", "404", "127.0.0.1")
    assert values["path"].startswith(f"/v2/{repo}/manifests/xxx") and values["path"].endswith("x...")
    assert values["query"].endswith('x..."') and values["agent"].endswith("x...")


def test_an_endless_target_is_414_before_it_ends(raw):
    send_until_refused(raw, b"GET /" + b"a" * 100000, 1)
    assert raw.reply()[0] == 414
    assert raw.ended()


def test_the_most_headers_are_taken_and_one_more_is_431(server):
    for more, expected in [(0, 200), (1, 431)]:
        with Raw(server) as c:
            lines = b"".join(b"A%d: b\r\n" % i for i in range(HEADERS_MAX - 2 + more))
            c.send(b"GET /v2/ HTTP/1.1\r\n" + CLOSE + lines + b"\r\n")
            assert c.reply()[0] == expected
            assert c.ended()


def test_the_largest_head_is_taken_and_one_byte_more_is_431(server):
    start = b"GET /v2/ HTTP/1.1\r\n" + CLOSE + b"A: "
    for more, expected in [(0, 200), (1, 431)]:
        with Raw(server) as c:
            c.send(start + b"a" * (HEAD_MAX - len(start) - 4 + more) + b"\r\n\r\n")
            assert c.reply()[0] == expected
            assert c.ended()


def test_a_flood_of_headers_is_431(raw):
    raw.send(b"GET /v2/ HTTP/1.1\r\n" + HOST)
    send_until_refused(raw, b"A: b\r\n" * 1000, 100)
    assert raw.reply()[0] == 431
    assert raw.ended()


def test_many_large_heads_on_one_connection(raw):
    request = b"GET /v2/ HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 20000 + b"\r\n\r\n"
    for _ in range(5):
        raw.send(request * 3)
        assert [raw.reply()[0] for _ in range(3)] == [200] * 3


# Bodies. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_a_chunked_body_may_be_split_anywhere(server, raw, repo, step):
    location = begin_upload(server, repo)
    blob = noise(600, repo)
    sizes = [1, 2, 15, 16, 17, 100, 255, 194]
    assert sum(sizes) == len(blob)
    text, at = b"", 0
    lines = [b"%x", b"%X", b"000%x", b"%x;name=value", b'%x;a="b;c"']
    for i, size in enumerate(sizes):
        text += lines[i % 5] % size + b"\r\n" + blob[at:at + size] + b"\r\n"
        at += size
    text += b"0\r\nA-Trailer: 1\r\nAnother: 2\r\n\r\n"
    raw.send(f"PATCH {location} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n".encode() + HOST + b"\r\n")
    raw.send(*(text[i:i + step] for i in range(0, len(text), step)), pause=0.0005)
    status, headers, _ = raw.reply()
    assert status == 202
    with server.client() as client:
        done = client.put(with_query(headers["location"], digest=digest_of(blob)))
        assert done.status == 201, done


BAD_CHUNKS = [b"x\r\n", b"\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n",
              b"0x5\r\nhello\r\n", b"-1\r\n", b"5\nhello\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\n0\r\n\r\n",
              b"5\r\nhello0\r\n\r\n", b"10000000000000000\r\n", b"ffffffffffffffff\r\n", b"0\r\n\n",
              b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n"]


@pytest.mark.parametrize("body", BAD_CHUNKS, ids=range(len(BAD_CHUNKS)))
def test_malformed_chunks_are_refused_and_end_the_connection(server, raw, repo, body):
    location = begin_upload(server, repo)
    start = server.log_size()
    raw.send(f"PATCH {location} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n".encode() + HOST + b"\r\n" +
             body + SMUGGLED)
    status, headers, _ = raw.reply()
    assert status == 400
    assert headers["connection"] == "close"
    assert raw.ended()
    assert "smuggled" not in server.log_text(start)


def test_continue_is_said_when_the_body_is_wanted(server, raw, repo):
    location = begin_upload(server, repo)
    raw.send(f"PATCH {location} HTTP/1.1\r\nContent-Length: 5\r\n"
             "Expect: 100-continue\r\n".encode() + HOST + b"\r\n")
    assert raw.reply()[0] == 100
    assert raw.quiet()
    raw.send(b"hello")
    assert raw.reply()[0] == 202
    raw.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
    assert raw.reply()[0] == 200


def test_continue_is_not_said_when_the_answer_is_known(raw, repo):
    raw.send(f"PATCH /v2/{repo}/blobs/uploads/nothing HTTP/1.1\r\nContent-Length: 5\r\n"
             "Expect: 100-continue\r\n".encode() + HOST + b"\r\n")
    status, headers, _ = raw.reply()
    assert status == 404
    # The client may send its body or not: the connection cannot go on.
    assert headers["connection"] == "close"
    assert raw.ended()


def test_continue_is_not_said_to_http_1_0(server, raw, repo):
    location = begin_upload(server, repo)
    raw.send(f"PATCH {location} HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode())
    assert raw.quiet()
    raw.send(b"hello")
    assert raw.reply()[0] == 202


def test_an_unread_small_body_does_not_end_the_connection(raw, repo):
    target = f"/v2/{repo}/blobs/uploads/nothing".encode()
    raw.send(b"PATCH " + target + b" HTTP/1.1\r\nContent-Length: 200000\r\n" + HOST + b"\r\n" + b"x" * 200000)
    assert raw.reply()[0] == 404
    raw.send(b"PATCH " + target + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST +
             b"\r\n3\r\nabc\r\n0\r\n\r\n")
    assert raw.reply()[0] == 404
    raw.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
    assert raw.reply()[0] == 200


@pytest.mark.parametrize("framing", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
def test_a_client_that_sends_on_can_read_why_it_is_refused(raw, repo, framing):
    """The connection is not reset under the reply, however much is still on its way."""
    raw.send(f"PATCH /v2/{repo}/blobs/uploads/nothing HTTP/1.1\r\n{framing}\r\n".encode() + HOST + b"\r\n")
    piece = b"x" * 65536
    if framing.startswith("T"):
        piece = b"10000\r\n" + piece + b"\r\n"
    for _ in range(1024):
        raw.socket.sendall(piece)
    status, headers, body = raw.reply()
    assert status == 404 and b"BLOB_UPLOAD_UNKNOWN" in body


# Slow peers. ------------------------------------------------------------------------------------


def test_a_silent_connection_is_closed(impatient):
    with Raw(impatient) as c:
        begun = time.monotonic()
        assert c.ended()
        assert 0.5 < time.monotonic() - begun < 8


def test_an_idle_connection_is_closed(impatient):
    with Raw(impatient) as c:
        c.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
        assert c.reply()[0] == 200
        assert c.ended()


def test_a_slow_head_is_cut_off_however_busily_it_is_sent(impatient):
    with Raw(impatient) as c:
        begun = time.monotonic()
        c.send(b"GET /v2/ HTTP/1.1\r\n" + HOST)
        c.socket.settimeout(0.1)
        while time.monotonic() - begun < 10 and not c.got:
            try:
                c.send(b"A: b\r\n")
                c.more()
            except TimeoutError:
                pass
        c.socket.settimeout(10)
        status, headers, _ = c.reply()
        assert status == 408 and headers["connection"] == "close"
        assert time.monotonic() - begun < 8


def test_a_body_that_stalls_is_cut_off_and_what_came_is_kept(impatient, repo):
    location = begin_upload(impatient, repo)
    with Raw(impatient) as c:
        c.send(f"PATCH {location} HTTP/1.1\r\nContent-Length: 10\r\n".encode() + HOST + b"\r\nhello")
        status, headers, _ = c.reply()
        assert status == 408 and headers["connection"] == "close"
        assert c.ended()
    with impatient.client() as client:
        assert client.get(location).status == 204


def test_a_slow_but_steady_body_is_taken(impatient, repo):
    location = begin_upload(impatient, repo)
    with Raw(impatient) as c:
        c.send(f"PATCH {location} HTTP/1.1\r\nContent-Length: 12\r\n".encode() + HOST + b"\r\n")
        c.send(*[b"x"] * 12, pause=0.25)  # three times as long as the time-out
        assert c.reply()[0] == 202


def test_a_reader_that_takes_nothing_is_cut_off(impatient, repo):
    with impatient.client() as client:
        digest = push_blob(client, repo, noise(32 << 20, repo))
    with Raw(impatient, receive_buffer=65536) as c:
        c.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        time.sleep(4)
        c.socket.settimeout(5)
        with pytest.raises((ConnectionResetError, AssertionError)):
            c.reply()


def test_a_slow_but_steady_reader_is_served(impatient, repo):
    blob = noise(24 << 20, repo)
    with impatient.client() as client:
        digest = push_blob(client, repo, blob)
    with Raw(impatient, receive_buffer=65536) as c:
        c.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert c.head()[0] == 200
        end = time.monotonic() + 4
        while time.monotonic() < end:
            c.more()
            time.sleep(0.2)
        pieces = [c.got]
        while sum(map(len, pieces)) < len(blob):
            piece = c.socket.recv(1 << 20)
            assert piece
            pieces.append(piece)
        assert b"".join(pieces) == blob


# Few workers. -----------------------------------------------------------------------------------


def test_replies_close_while_most_workers_are_busy(tmp_path):
    with quick(tmp_path, workers=8, idle_timeout="1m", head_timeout="1m") as server:
        kept = []
        for i in range(7):
            c = Raw(server)
            c.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
            status, headers, _ = c.reply()
            assert status == 200
            kept.append((c, headers.get("connection") == "close"))
        assert not any(closing for _, closing in kept[:5])
        assert kept[6][1]
        for c, _ in kept:
            c.socket.close()
        # With nobody there, they are kept again.
        end = time.monotonic() + 10
        while True:
            with Raw(server) as c:
                c.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
                if "connection" not in c.reply()[1]:
                    break
            assert time.monotonic() < end


def test_three_hundred_idle_connections_do_not_keep_others_out(tmp_path):
    with quick(tmp_path, workers=16, idle_timeout="5m", head_timeout="5m") as server:
        before = len(os.listdir(f"/proc/{server.pid}/fd"))
        idle = [Raw(server) for _ in range(300)]
        begun = time.monotonic()
        for _ in range(3):
            with Raw(server, timeout=60) as c:
                c.send(b"GET /v2/ HTTP/1.1\r\n" + CLOSE + b"\r\n")
                assert c.reply()[0] == 200
        assert time.monotonic() - begun < 30
        for c in idle:
            c.socket.close()
        assert settles(lambda: len(os.listdir(f"/proc/{server.pid}/fd")), before)


# Clients that leave. ----------------------------------------------------------------------------


def settles(measure, limit, timeout=15):
    end = time.monotonic() + timeout
    while measure() > limit:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def resident(server):
    with open(f"/proc/{server.pid}/status") as f:
        return int(re.search(r"VmRSS:\s*(\d+) kB", f.read())[1]) * 1024


def leave_in_the_middle(server, repo, digest, rounds):
    for i in range(rounds):
        with Raw(server) as c:  # in a head
            c.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 10000)
        location = begin_upload(server, repo)
        for framing in [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"]:
            with Raw(server) as c:  # in an upload
                c.send(f"PATCH {location} HTTP/1.1\r\n".encode() + HOST + framing + b"x" * 70000)
                if i % 2:  # by a reset
                    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            settles(lambda: session_is_busy(server, location), 0)
        with Raw(server, receive_buffer=65536) as c:  # in a download
            c.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
            assert c.head()[0] == 200
        with Raw(server) as c:  # after pipelining more than is answered
            c.send((b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n") * 100)
        with server.client() as client:
            assert client.delete(location).status == 204


def session_is_busy(server, location):
    with server.client() as client:
        return client.get(location, checked=False).status != 204


def test_clients_that_leave_leave_nothing_behind(tmp_path, repo):
    with quick(tmp_path, workers=8) as server:
        with server.client() as client:
            digest = push_blob(client, repo, noise(16 << 20, repo))
        leave_in_the_middle(server, repo, digest, 5)
        assert settles(lambda: len(os.listdir(f"/proc/{server.pid}/task")), 64)
        time.sleep(1.5)  # the connections of the last round have timed out
        files, memory = len(os.listdir(f"/proc/{server.pid}/fd")), resident(server)
        leave_in_the_middle(server, repo, digest, 20)
        assert settles(lambda: len(os.listdir(f"/proc/{server.pid}/fd")), files)
        assert settles(lambda: resident(server), memory + (8 << 20))
        with server.client() as client:
            assert client.get(f"/v2/{repo}/blobs/{digest}").status == 200


# Stopping. --------------------------------------------------------------------------------------


def refuses_soon(server, seconds=5):
    """Whether new connections are refused. The idle ones are let go first, the port is closed after them."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=seconds):
                time.sleep(0.01)
        except ConnectionRefusedError:
            return True
    return False


def test_a_stop_lets_a_transfer_end(tmp_path, repo):
    blob = noise(32 << 20, repo)
    server = quick(tmp_path, io_timeout="1m", idle_timeout="1m", head_timeout="1m").start()
    with server.client() as client:
        digest = push_blob(client, repo, blob)
    with Raw(server) as idle, Raw(server, receive_buffer=65536) as c:
        idle.send(b"GET /v2/ HTTP/1.1\r\n" + HOST + b"\r\n")
        assert idle.reply()[0] == 200
        c.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert c.head()[0] == 200
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.ended(5)
        assert refuses_soon(server)
        pieces = [c.got]
        while sum(map(len, pieces)) < len(blob):
            piece = c.socket.recv(1 << 20)
            assert piece, "cut off in the middle"
            pieces.append(piece)
        assert b"".join(pieces) == blob
        assert c.socket.recv(1) == b""
        stopping.join(20)
        assert server.process is None


def test_a_stop_cuts_what_does_not_end(tmp_path, repo):
    server = quick(tmp_path, io_timeout="1m", idle_timeout="1m", head_timeout="1m", drain_timeout="1s")
    server.start()
    location = begin_upload(server, repo)
    with server.client() as client:
        digest = push_blob(client, repo, noise(32 << 20, repo))
    with Raw(server, receive_buffer=65536) as reader, Raw(server) as writer, Raw(server) as slow:
        reader.send(f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        writer.send(f"PATCH {location} HTTP/1.1\r\nContent-Length: 10\r\n".encode() + HOST + b"\r\nhello")
        slow.send(b"GET /v2/ HTTP/1.1\r\n")
        assert reader.head()[0] == 200
        time.sleep(0.3)
        begun = time.monotonic()
        server.stop(timeout=20)
        assert time.monotonic() - begun < 15
