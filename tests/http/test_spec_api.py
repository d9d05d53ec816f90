"""Distribution-spec, "API": determining support, endpoints, error codes, warnings."""

import os
import re
import socket
import subprocess

import pytest
from harness import (BERTH, MANIFEST_MAX, OCI_MANIFEST, Server, digest_of, exchange, image_manifest, local,
                     no_digest, noise, push_artifact, push_blob, push_image, with_query)

# Determining support (end-1) -----------------------------------------------------------------------


def test_determining_support_answers_200(client):
    assert client.get("/v2/").status == 200


def test_determining_support_works_with_head(client):
    reply = client.head("/v2/")
    assert reply.status == 200
    assert reply.body == b""


def test_determining_support_is_json(client):
    reply = client.get("/v2/")
    assert reply.header("Content-Type").split(";")[0] == "application/json"
    assert isinstance(reply.json(), dict)


def test_every_answer_names_the_registry_api_version(client, repo):
    image = push_image(client, repo, "v1")
    replies = [
        client.get("/v2/"),
        client.get(f"/v2/{repo}/manifests/v1"),
        client.head(f"/v2/{repo}/blobs/{image.blobs[0]}"),
        client.get(f"/v2/{repo}/tags/list"),
        client.get(f"/v2/{repo}/manifests/missing"),
        client.post(f"/v2/{repo}/blobs/uploads/"),
        client.get("/v2/_catalog"),
    ]
    for reply in replies:
        assert reply.all("Docker-Distribution-Api-Version") == ["registry/2.0"], reply


# Endpoints: what is none ---------------------------------------------------------------------------


@pytest.mark.parametrize("target", [
    "/v2/a/unknown",
    "/v2/a/tags",
    "/v2/a/tags/other",
    "/v2/a/manifests",
    "/v2/a/manifests/",
    "/v2/a/blobs",
    "/v2/a/blobs/",
    "/v2/a/referrers/",
    "/v2/tags/list",
    "/v2/manifests/latest",
    "/v2/_unknown",
    "/v3/",
])
def test_endpoints_unknown_path_is_404(client, target):
    # A digest may be missing or malformed in these, which is as good a reason to refuse.
    assert client.get(target).status in (400, 404)


@pytest.mark.parametrize("method, path, allowed", [
    ("DELETE", "/v2/", {"GET", "HEAD"}),
    ("POST", "/v2/{repo}/manifests/v1", {"GET", "HEAD", "PUT", "DELETE"}),
    ("PATCH", "/v2/{repo}/manifests/v1", {"GET", "HEAD", "PUT", "DELETE"}),
    ("PUT", "/v2/{repo}/blobs/{digest}", {"GET", "HEAD", "DELETE"}),
    ("POST", "/v2/{repo}/blobs/{digest}", {"GET", "HEAD", "DELETE"}),
    ("POST", "/v2/{repo}/tags/list", {"GET", "HEAD"}),
    ("DELETE", "/v2/{repo}/tags/list", {"GET", "HEAD"}),
    ("PUT", "/v2/{repo}/referrers/{digest}", {"GET", "HEAD"}),
    ("GET", "/v2/{repo}/blobs/uploads/", {"POST"}),
    ("DELETE", "/v2/_catalog", {"GET", "HEAD"}),
])
def test_endpoints_wrong_method_is_405_and_says_which_are_allowed(client, repo, method, path, allowed):
    reply = client.request(method, path.format(repo=repo, digest=no_digest()))
    assert reply.status == 405
    assert reply.codes == ["UNSUPPORTED"]
    assert {m.strip() for m in reply.header("Allow").split(",")} >= allowed


def test_endpoints_head_answers_as_get_without_a_body(client, repo):
    push_image(client, repo, "v1")
    for target in ("/v2/", f"/v2/{repo}/tags/list", f"/v2/{repo}/referrers/{no_digest()}", "/v2/_catalog"):
        get, head = client.get(target), client.head(target)
        assert head.status == get.status == 200
        assert head.body == b""
        assert head.header("Content-Type") == get.header("Content-Type")
        assert head.header("Content-Length") == str(len(get.body))


def test_endpoints_head_of_what_is_missing_has_no_body(client, repo):
    push_image(client, repo, "v1")
    for target in (f"/v2/{repo}/manifests/none", f"/v2/{repo}/blobs/{no_digest()}", "/v2/no/such/tags/list"):
        reply = client.head(target)
        assert reply.status == 404
        assert reply.body == b""
        assert client.get("/v2/").status == 200  # the connection is still in step


@pytest.mark.parametrize("name", [
    "blobs", "uploads", "manifests", "tags", "referrers",
    "a/blobs/uploads", "a/manifests/b", "tags/list", "a/tags/list/b", "manifests/manifests",
    "blobs/uploads/tags", "referrers/blobs", "a/blobs", "catalog", "v2",
])
def test_endpoints_repository_names_may_hold_words_of_the_api(client, name):
    image = push_image(client, name, "v1", seed=name)
    assert client.get(f"/v2/{name}/manifests/v1").body == image.body
    assert client.get(f"/v2/{name}/blobs/{image.blobs[1]}").body == image.layers[0]
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v1"]}
    assert client.get(f"/v2/{name}/referrers/{image.digest}").json()["manifests"] == []
    begun = client.post(f"/v2/{name}/blobs/uploads/")
    assert client.get(local(begun.location)).status == 204
    assert client.delete(local(begun.location)).status == 204


# Names ---------------------------------------------------------------------------------------------


GOOD_NAMES = ["a", "0", "a/b", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a--b", "a----b", "0.1_2__3-4/5"]
BAD_NAMES = ["A", "a/B", "-a", "a-", "a/-b", ".a", "a.", "_a", "a_", "a..b", "a___b", "a._b", "a-_b",
             "a//b", "a/", "a@b", "a:b", "a%20b", "a%C3%A9", "a%00b", "%2e%2e/a"]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_the_grammar_are_taken(client, name):
    assert client.post(f"/v2/{name}/blobs/uploads/").status == 202


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_outside_the_grammar_are_name_invalid(client, name):
    reply = client.post(f"/v2/{name}/blobs/uploads/")
    assert reply.status == 400, reply
    assert reply.codes == ["NAME_INVALID"]


def test_names_have_255_bytes_at_most(client):
    longest = "/".join(["n" * 63] * 4)
    assert len(longest) == 255
    push_image(client, longest, "v1")
    assert client.get(f"/v2/{longest}/tags/list").json()["tags"] == ["v1"]
    reply = client.get(f"/v2/{longest}n/tags/list")
    assert reply.status == 400
    assert reply.codes == ["NAME_INVALID"]


# Error codes: each of the table --------------------------------------------------------------------


def refused(reply, status, code):
    assert reply.status == status, reply
    assert reply.codes == [code], reply


def test_error_code_1_blob_unknown(client, repo):
    push_image(client, repo, "v1")
    refused(client.get(f"/v2/{repo}/blobs/{no_digest()}"), 404, "BLOB_UNKNOWN")


def test_error_code_2_blob_upload_invalid(client, repo):
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    reply = client.patch(local(begun.location), b"xyz", {"Content-Range": "5-7"})
    refused(reply, 416, "BLOB_UPLOAD_INVALID")


def test_error_code_3_blob_upload_unknown(client, repo):
    push_image(client, repo, "v1")
    target = f"/v2/{repo}/blobs/uploads/00000000-0000-4000-8000-000000000000"
    refused(client.patch(target, b"x"), 404, "BLOB_UPLOAD_UNKNOWN")


def test_error_code_4_digest_invalid(client, repo):
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    reply = client.put(with_query(begun.location, digest=digest_of(b"this")), b"that")
    refused(reply, 400, "DIGEST_INVALID")


def test_error_code_5_manifest_blob_unknown(client, repo):
    layer = {"mediaType": "application/octet-stream", "digest": no_digest(), "size": 5}
    config = {"mediaType": "application/octet-stream", "digest": push_blob(client, repo, b"c"), "size": 1}
    reply = client.put(f"/v2/{repo}/manifests/v1", image_manifest(config, [layer]),
                       {"Content-Type": OCI_MANIFEST})
    refused(reply, 404, "MANIFEST_BLOB_UNKNOWN")


def test_error_code_6_manifest_invalid(client, repo):
    reply = client.put(f"/v2/{repo}/manifests/v1", b"{", {"Content-Type": OCI_MANIFEST})
    refused(reply, 400, "MANIFEST_INVALID")


def test_error_code_7_manifest_unknown(client, repo):
    push_image(client, repo, "v1")
    refused(client.get(f"/v2/{repo}/manifests/v2"), 404, "MANIFEST_UNKNOWN")
    refused(client.get(f"/v2/{repo}/manifests/{no_digest()}"), 404, "MANIFEST_UNKNOWN")


def test_error_code_8_name_invalid(client):
    refused(client.get("/v2/Upper/tags/list"), 400, "NAME_INVALID")


def test_error_code_9_name_unknown(client):
    refused(client.get("/v2/never/pushed/tags/list"), 404, "NAME_UNKNOWN")


def test_error_code_10_size_invalid(client, repo):
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    reply = client.patch(local(begun.location), b"four", {"Content-Range": "0-9"})
    refused(reply, 400, "SIZE_INVALID")


def test_error_code_13_unsupported(client, repo):
    refused(client.post(f"/v2/{repo}/tags/list"), 405, "UNSUPPORTED")


def test_error_of_a_manifest_over_the_limit_is_413(client, repo):
    reply = client.put(f"/v2/{repo}/manifests/v1", b" " * (MANIFEST_MAX + 1), {"Content-Type": OCI_MANIFEST})
    assert reply.status == 413


def test_errors_tell_people_a_message(client):
    for error in client.get("/v2/never/pushed/tags/list").json()["errors"]:
        assert re.search(r"[a-z]{3}", error["message"])


# No memory ----------------------------------------------------------------------------------------


@pytest.fixture
def meagre(tmp_path):
    """A server that, once restarted, gets no piece of memory over 1 MiB."""
    told = subprocess.run([BERTH, "version"], env={**os.environ, "ASAN_OPTIONS": "help=1"}, text=True,
                          capture_output=True)
    if "AddressSanitizer" not in told.stderr:
        pytest.skip("only a program with the address sanitizer can be refused memory")
    server = Server(tmp_path)
    with server.start():
        yield server


def starve(server):
    server.stop()
    options = os.environ.get("ASAN_OPTIONS", "")
    server.env["ASAN_OPTIONS"] = options + ":allocator_may_return_null=1:max_allocation_size_mb=1"
    server.start()


def check_told_once(server, reply, message):
    assert reply.status == 503
    assert reply.header("Retry-After")
    lines = [line for line in server.log_text().splitlines() if " level=error " in line]
    assert len(lines) == 1 and f' msg="{message}: out of memory"' in lines[0], lines


def test_no_memory_for_a_reply_is_503_and_logged_once(meagre, repo):
    with meagre.client() as client:
        subject = push_image(client, repo, "subject").descriptor()
        push_artifact(client, repo, subject, annotations={"big": "x" * ((1 << 20) - 200)})
    starve(meagre)
    with meagre.client() as client:
        reply = client.get(f"/v2/{repo}/referrers/{subject['digest']}", faults=True)
        check_told_once(meagre, reply, "build a reply")
        assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["subject"]


def test_no_memory_to_read_a_manifest_is_503_and_logged_once(meagre, repo):
    starve(meagre)
    with meagre.client() as client:
        body = b'{"schemaVersion":2,"layers":[],"x":[0' + b",0" * 250000 + b"]}"
        reply = client.put(f"/v2/{repo}/manifests/v1", body, {"Content-Type": OCI_MANIFEST}, faults=True)
        check_told_once(meagre, reply, "read a manifest")
        push_image(client, repo, "v2")


# HTTP (RFC 9110, 9112) -----------------------------------------------------------------------------


def test_http_1_0_is_answered_and_the_connection_closed(server, client, repo):
    image = push_image(client, repo, "v1")
    got = exchange(server, f"GET /v2/{repo}/blobs/{image.blobs[1]} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    head, _, body = got.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 200 ", head)
    assert b"transfer-encoding" not in head.lower()
    assert body == image.layers[0]


def test_http_1_0_without_host_is_answered(server):
    assert re.match(rb"HTTP/1\.[01] 200 ", exchange(server, b"GET /v2/ HTTP/1.0\r\n\r\n"))


def test_http_1_1_without_host_is_400(server):
    assert exchange(server, b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_http_absolute_target_is_understood(server):
    get = b"GET http://registry.example/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = exchange(server, get)
    assert got.startswith(b"HTTP/1.1 200 ")


def test_http_body_of_a_get_is_passed_over(server):
    get = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"
    got = exchange(server, get + b"Content-Length: 5\r\n\r\nhello" + get + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 ") == 2


def test_http_chunk_extensions_and_trailers_are_passed_over(server, client, repo):
    body = noise(3, "trailer")
    target = f"/v2/{repo}/blobs/uploads/?digest={digest_of(body)}"
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    got = exchange(server, head.encode() + b"3;a=b\r\n" + body + b"\r\n0\r\nX-Trailer: y\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 201 ")
    assert client.get(f"/v2/{repo}/blobs/{digest_of(body)}").body == body


def test_http_keep_alive_carries_many_requests(client, repo):
    push_image(client, repo, "v1")
    first = client.get("/v2/")
    connection = client.connection
    assert connection is not None, first
    for _ in range(50):
        assert client.get(f"/v2/{repo}/manifests/v1").status == 200
        assert client.get(f"/v2/{repo}/manifests/none").status == 404
    assert client.connection is connection


def test_http_pipelined_requests_are_answered_in_order(server, client, repo):
    image = push_image(client, repo, "v1")
    targets = [f"/v2/{repo}/manifests/v1", f"/v2/{repo}/blobs/{image.blobs[1]}", f"/v2/{repo}/tags/list"]
    lines = [f"GET {t} HTTP/1.1\r\nHost: x\r\n" for t in targets]
    lines[-1] += "Connection: close\r\n"
    got = exchange(server, "".join(line + "\r\n" for line in lines).encode())
    parts = re.split(rb"HTTP/1\.1 200 OK\r\n", got)
    assert parts[0] == b"" and len(parts) == 4
    bodies = [p.partition(b"\r\n\r\n")[2] for p in parts[1:]]
    assert bodies[0] == image.body
    assert bodies[1] == image.layers[0]
    assert b'"v1"' in bodies[2]


def test_http_pipelined_uploads_keep_their_bodies_apart(server, client, repo):
    begun = [local(client.post(f"/v2/{repo}/blobs/uploads/").location) for _ in range(2)]
    bodies = [noise(3000, "first"), noise(5000, "second")]
    data = b""
    for n, (target, body) in enumerate(zip(begun, bodies)):
        target = with_query(target, digest=digest_of(body))
        close = "Connection: close\r\n" if n == 1 else ""
        head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{close}\r\n"
        data += head.encode() + body
    got = exchange(server, data)
    assert got.count(b"HTTP/1.1 201 ") == 2
    for body in bodies:
        assert client.get(f"/v2/{repo}/blobs/{digest_of(body)}").body == body


def test_http_expect_100_continue_is_answered_before_the_body(server, client, repo):
    body = noise(2000, "continue")
    target = with_query(client.post(f"/v2/{repo}/blobs/uploads/").location, digest=digest_of(body))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        s.sendall(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                  f"Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        first = s.recv(4096)
        assert re.match(rb"HTTP/1\.1 100 [^\r]*\r\n\r\n$", first)
        s.sendall(body)
        final = b""
        while piece := s.recv(4096):
            final += piece
    assert final.startswith(b"HTTP/1.1 201 ")


def test_http_expect_100_continue_gets_an_error_at_once(server, client, repo):
    target = f"/v2/{repo}/blobs/uploads/00000000-0000-4000-8000-000000000000"
    got = exchange(server, f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
                           f"Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 404 ")
