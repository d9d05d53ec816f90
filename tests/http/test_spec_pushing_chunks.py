"""Distribution-spec, "Pushing a blob in chunks" (end-4a, end-4c, end-5, end-6, end-13)."""

import socket
import time

import pytest
from harness import OCTETS, Server, digest_of, exchange, local, no_digest, noise, with_query

DATA = noise(10000, "chunks")


def begin(client, repo, query=""):
    reply = client.post(f"/v2/{repo}/blobs/uploads/{query}", headers={"Content-Length": "0"})
    assert reply.status == 202, reply
    return local(reply.location)


def chunk(client, target, data, first, method="PATCH"):
    return client.request(method, target, data, {
        "Content-Type": OCTETS,
        "Content-Range": f"{first}-{first + len(data) - 1}",
    })


def close(client, target, digest):
    return client.put(with_query(target, digest=digest), headers={"Content-Length": "0"})


def check_stored(client, repo, data, alg="sha256"):
    assert client.get(f"/v2/{repo}/blobs/{digest_of(data, alg)}").body == data


def offset(client, target):
    """The Range that the server tells of a session."""
    reply = client.get(target)
    assert reply.status == 204, reply
    return reply.header("Range")


# Obtaining a session -------------------------------------------------------------------------------


def test_chunked_upload_begins_with_202_and_a_location(client, repo):
    reply = client.post(f"/v2/{repo}/blobs/uploads/", headers={"Content-Length": "0"})
    assert reply.status == 202
    assert reply.location


def test_chunked_upload_announces_a_minimum_chunk_length(client, repo):
    for query in ("", "?digest-algorithm=sha512", f"?mount={no_digest()}"):
        reply = client.post(f"/v2/{repo}/blobs/uploads/{query}")
        assert reply.status == 202
        assert int(reply.header("OCI-Chunk-Min-Length")) > 0


def test_chunked_upload_announces_no_minimum_chunk_length_when_it_is_set_to_0(tmp_path, repo):
    with Server(tmp_path, env={"BERTH_LIMITS_CHUNK_MIN_LENGTH": "0"}) as server, server.client() as client:
        assert client.post(f"/v2/{repo}/blobs/uploads/").all("OCI-Chunk-Min-Length") == []


def test_chunked_upload_announces_the_minimum_chunk_length_that_is_set(tmp_path, repo):
    with Server(tmp_path, env={"BERTH_LIMITS_CHUNK_MIN_LENGTH": "1M"}) as server, server.client() as client:
        reply = client.post(f"/v2/{repo}/blobs/uploads/")
        assert reply.header("OCI-Chunk-Min-Length") == str(1 << 20)
        # It is advice: nothing is refused for being smaller.
        target = local(reply.location)
        for n in range(5):
            assert chunk(client, target, DATA[n:n + 1], n).status == 202
        assert client.put(with_query(target, digest=digest_of(DATA[:5]))).status == 201
        check_stored(client, repo, DATA[:5])


def test_chunks_may_be_of_one_byte(client, repo):
    target = begin(client, repo)
    for n in range(20):
        assert chunk(client, target, DATA[n:n + 1], n).header("Range") == f"0-{n}"
    assert client.put(with_query(target, digest=digest_of(DATA[:20]))).status == 201
    check_stored(client, repo, DATA[:20])


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digest_algorithm_parameter_is_taken(client, repo, algorithm):
    target = begin(client, repo, f"?digest-algorithm={algorithm}")
    assert chunk(client, target, DATA, 0).status == 202
    reply = client.put(with_query(target, digest=digest_of(DATA, algorithm)))
    assert reply.status == 201
    assert reply.digest == digest_of(DATA, algorithm)
    check_stored(client, repo, DATA, algorithm)


@pytest.mark.parametrize("algorithm", ["md5", "sha384", "SHA256", "sha", "sha256x", "x" * 300])
def test_digest_algorithm_that_is_unsupported_is_400(client, repo, algorithm):
    reply = client.post(f"/v2/{repo}/blobs/uploads/?digest-algorithm={algorithm}")
    assert reply.status == 400
    assert set(reply.codes) <= {"DIGEST_INVALID", "UNSUPPORTED"}


@pytest.mark.parametrize("announced, used", [("sha256", "sha512"), ("sha512", "sha256")])
def test_digest_algorithm_of_the_end_decides(client, repo, announced, used):
    target = begin(client, repo, f"?digest-algorithm={announced}")
    assert chunk(client, target, DATA, 0).status == 202
    assert client.put(with_query(target, digest=digest_of(DATA, used))).status == 201
    check_stored(client, repo, DATA, used)


def test_digest_algorithm_may_stay_unsaid_for_sha512(client, repo):
    target = begin(client, repo)
    assert chunk(client, target, DATA[:4000], 0).status == 202
    assert chunk(client, target, DATA[4000:], 4000).status == 202
    assert client.put(with_query(target, digest=digest_of(DATA, "sha512"))).status == 201
    check_stored(client, repo, DATA, "sha512")


# Uploading chunks ----------------------------------------------------------------------------------


def test_chunk_is_202_with_location_and_range(client, repo):
    reply = chunk(client, begin(client, repo), DATA[:1000], 0)
    assert reply.status == 202
    assert reply.header("Range") == "0-999"
    assert client.get(local(reply.location)).status == 204


def test_chunk_range_counts_the_whole_upload(client, repo):
    target = begin(client, repo)
    for first in range(0, 10000, 2500):
        reply = chunk(client, target, DATA[first:first + 2500], first)
        assert reply.header("Range") == f"0-{first + 2499}"
        target = local(reply.location)


def test_chunks_and_an_empty_put_make_the_blob(client, repo, alg):
    target = begin(client, repo)
    for first in range(0, 10000, 3333):
        reply = chunk(client, target, DATA[first:first + 3333], first)
        assert reply.status == 202
        target = local(reply.location)
    reply = close(client, target, digest_of(DATA, alg))
    assert reply.status == 201
    assert reply.digest == digest_of(DATA, alg)
    assert client.get(local(reply.location)).body == DATA


def test_final_chunk_may_come_with_the_put(client, repo, alg):
    target = local(chunk(client, begin(client, repo), DATA[:6000], 0).location)
    reply = chunk(client, with_query(target, digest=digest_of(DATA, alg)), DATA[6000:], 6000, "PUT")
    assert reply.status == 201
    assert client.get(local(reply.location)).body == DATA


def test_final_chunk_may_come_with_the_put_without_a_range(client, repo):
    target = local(chunk(client, begin(client, repo), DATA[:6000], 0).location)
    assert client.put(with_query(target, digest=digest_of(DATA)), DATA[6000:]).status == 201
    check_stored(client, repo, DATA)


def test_chunk_without_a_range_is_appended(client, repo):
    target = begin(client, repo)
    assert client.patch(target, DATA[:5000]).header("Range") == "0-4999"
    assert client.patch(target, DATA[5000:]).header("Range") == "0-9999"
    assert client.put(with_query(target, digest=digest_of(DATA))).status == 201
    check_stored(client, repo, DATA)


def test_chunk_streamed_without_a_length_is_appended(client, repo, alg):
    target = begin(client, repo)
    pieces = [DATA[:1], DATA[1:7000], DATA[7000:]]
    reply = client.patch(target, pieces, {"Content-Type": OCTETS}, chunked=True)
    assert reply.status == 202
    assert reply.header("Range") == "0-9999"
    target = local(reply.location)
    assert close(client, target, digest_of(DATA, alg)).status == 201
    check_stored(client, repo, DATA, alg)


def test_chunk_streamed_with_a_range_is_taken(client, repo):
    target = begin(client, repo)
    assert client.patch(target, [DATA], {"Content-Range": "0-9999"}, chunked=True).status == 202
    assert client.put(with_query(target, digest=digest_of(DATA))).status == 201


def test_chunk_without_bytes_changes_nothing(client, repo):
    target = begin(client, repo)
    assert client.patch(target, DATA[:10]).status == 202
    reply = client.patch(target, b"")
    assert reply.status == 202
    assert reply.header("Range") == "0-9"
    assert client.put(with_query(target, digest=digest_of(DATA[:10]))).status == 201


def test_upload_without_bytes_is_the_empty_blob(client, repo, alg):
    target = begin(client, repo)
    assert close(client, target, digest_of(b"", alg)).status == 201
    check_stored(client, repo, b"", alg)


def test_chunk_range_in_the_form_of_http_is_understood(client, repo):
    target = begin(client, repo)
    assert client.patch(target, DATA[:10], {"Content-Range": "bytes 0-9/*"}).status == 202
    assert client.patch(target, DATA[10:20], {"Content-Range": "bytes 10-19/20"}).status == 202
    assert client.put(with_query(target, digest=digest_of(DATA[:20]))).status == 201


# Out of order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 999, 1001, 5000, 18446744073709551000])
def test_chunk_out_of_order_is_416_and_changes_nothing(client, repo, first):
    target = begin(client, repo)
    assert chunk(client, target, DATA[:1000], 0).status == 202
    reply = chunk(client, target, DATA[1000:1100], first)
    assert reply.status == 416
    assert reply.codes == ["BLOB_UPLOAD_INVALID"]
    assert offset(client, target) == "0-999"
    assert chunk(client, target, DATA[1000:], 1000).status == 202
    assert client.put(with_query(target, digest=digest_of(DATA))).status == 201
    check_stored(client, repo, DATA)


def test_first_chunk_must_begin_with_0(client, repo):
    target = begin(client, repo)
    assert chunk(client, target, DATA[:10], 1).status == 416
    assert offset(client, target) == "0-0"
    assert chunk(client, target, DATA[:10], 0).status == 202


def test_chunk_sent_twice_is_416(client, repo):
    target = begin(client, repo)
    assert chunk(client, target, DATA[:1000], 0).status == 202
    assert chunk(client, target, DATA[:1000], 0).status == 416
    assert offset(client, target) == "0-999"


def test_final_chunk_out_of_order_is_416_and_the_session_goes_on(client, repo, alg):
    target = local(chunk(client, begin(client, repo), DATA[:4000], 0).location)
    end = with_query(target, digest=digest_of(DATA, alg))
    reply = chunk(client, end, DATA[5000:], 5000, "PUT")
    assert reply.status == 416
    assert reply.codes == ["BLOB_UPLOAD_INVALID"]
    assert offset(client, end) == "0-3999"
    assert chunk(client, end, DATA[4000:], 4000, "PUT").status == 201
    check_stored(client, repo, DATA, alg)


def test_chunk_refused_with_416_says_where_to_go_on(client, repo):
    target = begin(client, repo)
    chunk(client, target, DATA[:1000], 0)
    reply = chunk(client, target, DATA[:1000], 0)
    assert reply.status == 416
    assert reply.header("Range") == "0-999"
    assert client.get(local(reply.location)).status == 204


@pytest.mark.parametrize("value", ["x", "1", "-", "0-", "-9", "9-0", "0-9-", "a-b", "0x0-9", "0 - 9", "",
                                   "0-99999999999999999999999"])
def test_chunk_with_a_malformed_range_is_refused_and_changes_nothing(client, repo, value):
    target = begin(client, repo)
    reply = client.patch(target, DATA[:10], {"Content-Range": value})
    assert reply.status in (400, 416), reply
    assert offset(client, target) == "0-0"
    assert chunk(client, target, DATA[:10], 0).header("Range") == "0-9"


@pytest.mark.parametrize("value", ["0-8", "0-10", "0-99"])
def test_chunk_with_another_length_than_its_range_is_refused(client, repo, value):
    target = begin(client, repo)
    reply = client.patch(target, DATA[:10], {"Content-Range": value})
    assert reply.status in (400, 416)
    assert set(reply.codes) <= {"SIZE_INVALID", "BLOB_UPLOAD_INVALID"}
    assert offset(client, target) == "0-0"


@pytest.mark.parametrize("size", [0, 1, 99999, 100001, 300000], ids=str)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_chunk_streamed_with_another_length_than_its_range_changes_nothing(client, repo, method, size, alg):
    data = noise(100010, "streamed")
    target = begin(client, repo)
    assert chunk(client, target, data[:10], 0).status == 202
    end = with_query(target, digest=digest_of(data, alg))
    body = [noise(size, "streamed too")]
    reply = client.request(method, target if method == "PATCH" else end, body,
                           {"Content-Range": "10-100009"}, chunked=True)
    assert reply.status == 400
    assert reply.codes == ["SIZE_INVALID"]
    assert offset(client, target) == "0-9"
    assert client.put(end, [data[10:]], {"Content-Range": "10-100009"}, chunked=True).status == 201
    check_stored(client, repo, data, alg)


def test_chunk_without_a_body_but_with_a_range_is_refused(client, server, repo):
    target = begin(client, repo)
    got = exchange(server, f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Range: 0-9\r\n"
                           "Connection: close\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 400 ")
    assert offset(client, target) == "0-0"


def test_large_chunk_out_of_order_is_answered_before_it_was_sent(server, client, repo):
    target = begin(client, repo)
    got = exchange(server, f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n"
                           f"Content-Range: 5-100000000004\r\n\r\n".encode() + b"x" * 1000)
    assert got.startswith(b"HTTP/1.1 416 ")
    assert offset(client, target) == "0-0"


# Status (end-13) -----------------------------------------------------------------------------------


def test_upload_status_is_204_with_location_and_range(client, repo):
    target = local(chunk(client, begin(client, repo), DATA[:1234], 0).location)
    reply = client.get(target)
    assert reply.status == 204
    assert reply.header("Range") == "0-1233"
    assert client.get(local(reply.location)).status == 204


def test_upload_status_of_no_bytes_is_0_0(client, repo):
    assert offset(client, begin(client, repo)) == "0-0"


def test_upload_status_location_can_be_gone_on_with(client, repo):
    target = local(chunk(client, begin(client, repo), DATA[:1234], 0).location)
    target = local(client.get(target).location)
    target = local(chunk(client, target, DATA[1234:], 1234).location)
    assert client.put(with_query(target, digest=digest_of(DATA))).status == 201
    check_stored(client, repo, DATA)


def test_upload_status_is_told_at_any_earlier_location(client, repo):
    locations = [begin(client, repo)]
    for first in range(0, 10000, 2500):
        locations.append(local(chunk(client, locations[-1], DATA[first:first + 2500], first).location))
    assert {offset(client, location) for location in locations} == {"0-9999"}


def test_upload_status_does_not_need_the_query_of_the_location(client, repo):
    target = begin(client, repo)
    chunk(client, target, DATA[:100], 0)
    path = target.split("?")[0]
    assert offset(client, path) == "0-99"
    assert chunk(client, path, DATA[100:], 100).status == 202
    assert client.put(f"{path}?digest={digest_of(DATA)}").status == 201


# Closing -------------------------------------------------------------------------------------------


def test_closing_with_another_digest_is_400_and_stores_nothing(client, repo, alg):
    target = begin(client, repo)
    chunk(client, target, DATA, 0)
    wrong = digest_of(DATA + b"oh", alg)
    reply = client.put(with_query(target, digest=wrong))
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]
    for digest in (wrong, digest_of(DATA, alg)):
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 404


def test_closing_with_the_digest_of_the_final_chunk_only_is_400(client, repo):
    target = begin(client, repo)
    chunk(client, target, DATA[:5000], 0)
    end = with_query(target, digest=digest_of(DATA[5000:]))
    assert chunk(client, end, DATA[5000:], 5000, "PUT").status == 400


def test_two_uploads_at_once_keep_apart(client, repo):
    first, second = begin(client, repo), begin(client, repo)
    for n in range(10):
        assert chunk(client, first, DATA[n * 100:n * 100 + 100], n * 100).status == 202
        assert chunk(client, second, DATA[5000 + n * 50:5050 + n * 50], n * 50).status == 202
    assert client.put(with_query(first, digest=digest_of(DATA[:1000]))).status == 201
    assert client.put(with_query(second, digest=digest_of(DATA[5000:5500]))).status == 201
    check_stored(client, repo, DATA[:1000])
    check_stored(client, repo, DATA[5000:5500])


# Broken off ----------------------------------------------------------------------------------------


def send_part(server, method, target, headers, part):
    """Send the head of a request and a part of its body, and leave."""
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        s.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + part)


def settled(client, target):
    """How many bytes the session has, once the request that broke off is done with."""
    before = None
    for _ in range(100):
        now = offset(client, target)
        if now == before:
            break
        before = now
        time.sleep(0.05)
    last = int(now.split("-")[1])
    return last + 1 if last else 0


@pytest.mark.parametrize("form", ["length", "length and range", "chunked"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_upload_that_broke_off_goes_on_where_it_stopped(server, client, repo, method, form, alg):
    target = begin(client, repo)
    assert chunk(client, target, DATA[:1000], 0).status == 202
    end = with_query(target, digest=digest_of(DATA, alg))
    part = DATA[1000:7000]
    if form == "chunked":
        headers, part = {"Transfer-Encoding": "chunked"}, b"1770\r\n" + part + b"\r\n"
    else:
        headers = {"Content-Length": "9000"}
        if form == "length and range":
            headers["Content-Range"] = "1000-9999"
    send_part(server, method, end if method == "PUT" else target, headers, part)
    size = settled(client, target)
    assert 1000 <= size <= 7000
    assert client.head(f"/v2/{repo}/blobs/{digest_of(DATA, alg)}").status == 404
    assert chunk(client, target, DATA[size:], size).status == 202
    assert close(client, target, digest_of(DATA, alg)).status == 201
    check_stored(client, repo, DATA, alg)


def test_upload_by_a_single_post_that_broke_off_leaves_no_blob(server, client, repo):
    target = f"/v2/{repo}/blobs/uploads/?digest={digest_of(DATA)}"
    send_part(server, "POST", target, {"Content-Length": "10000"}, DATA[:5000])
    assert client.head(f"/v2/{repo}/blobs/{digest_of(DATA)}").status == 404
    assert client.post(target, DATA).status == 201
    check_stored(client, repo, DATA)


def test_upload_takes_one_request_at_a_time(server, client, repo):
    # The first is still sending: the second is told to wait, or waits; the bytes never mix.
    target = begin(client, repo)
    head = f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        s.sendall(head.encode() + DATA[:1000])
        end = time.monotonic() + 10
        while offset(client, target) != "0-999" and time.monotonic() < end:
            time.sleep(0.02)
        with server.client() as other:
            reply = other.patch(target, b"x" * 500, {"Content-Range": "0-499"}, faults=True)
        assert reply.status in (416, 503)
        s.sendall(DATA[1000:2000])
        assert s.recv(100).startswith(b"HTTP/1.1 202 ")
    assert offset(client, target) == "0-1999"
    assert close(client, target, digest_of(DATA[:2000])).status == 201


# A restart in the middle ---------------------------------------------------------------------------


def test_upload_goes_on_after_the_server_was_killed(tmp_path, repo, alg):
    server = Server(tmp_path).start()
    with server.client() as client:
        target = begin(client, repo)
        assert chunk(client, target, DATA[:4000], 0).status == 202
    server.kill()
    with server, server.client() as client:
        assert offset(client, target) == "0-3999"
        assert chunk(client, target, DATA[4000:], 4000).status == 202
        assert close(client, target, digest_of(DATA, alg)).status == 201
        check_stored(client, repo, DATA, alg)


def test_upload_goes_on_after_the_server_was_stopped(tmp_path, repo):
    server = Server(tmp_path).start()
    with server.client() as client:
        target = begin(client, repo)
        assert chunk(client, target, DATA[:4000], 0).status == 202
    server.stop()
    with server, server.client() as client:
        assert offset(client, target) == "0-3999"
        end = with_query(target, digest=digest_of(DATA))
        assert chunk(client, end, DATA[4000:], 4000, "PUT").status == 201
        check_stored(client, repo, DATA)
