"""Distribution-spec, "Pulling blobs" and, for blobs, "Checking if content exists" (end-2)."""

import re

import pytest
from harness import digest_of, no_digest, noise, push_blob, push_image

SIZE = 2048
DATA = noise(SIZE, "ranges")


@pytest.fixture
def blob(client, repo):
    """A target of a blob with the content DATA."""
    return f"/v2/{repo}/blobs/{push_blob(client, repo, DATA)}"


def parts_of(reply):
    """The parts of a multipart/byteranges reply: [(Content-Range, bytes)]."""
    match = re.fullmatch(r'multipart/byteranges; *boundary="?([^"]+)"?', reply.header("Content-Type"))
    assert match, reply
    delimiter = b"\r\n--" + match[1].encode()
    preamble, *parts, end = (b"\r\n" + reply.body).split(delimiter)
    assert preamble == b"" and end in (b"--", b"--\r\n"), reply
    result = []
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if line)
        assert {k.lower() for k in fields} >= {b"content-range", b"content-type"}, fields
        result.append(({k.lower(): v for k, v in fields.items()}[b"content-range"].decode(), data))
    return result


# Whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 4095, 4096, 65535, 65536, 65537, 1 << 20, (5 << 20) + 3])
def test_pulling_blobs_gives_the_bytes_that_were_pushed(client, repo, size):
    data = noise(size, f"size {size}")
    digest = push_blob(client, repo, data)
    reply = client.get(f"/v2/{repo}/blobs/{digest}")
    assert reply.status == 200
    assert reply.body == data
    assert reply.header("Content-Length") == str(size)


def test_pulling_blobs_by_each_algorithm(client, repo, alg):
    digest = push_blob(client, repo, DATA, alg)
    reply = client.get(f"/v2/{repo}/blobs/{digest}")
    assert reply.status == 200
    assert reply.body == DATA
    assert reply.digest == digest


def test_pulling_blobs_a_blob_is_known_by_the_digest_it_was_pushed_with_only(client, repo):
    data = noise(100, "only sha512")
    push_blob(client, repo, data, "sha512")
    assert client.head(f"/v2/{repo}/blobs/{digest_of(data, 'sha256')}").status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulling_blobs_returns_docker_content_digest(client, blob, method):
    assert client.request(method, blob).digest == digest_of(DATA)


def test_pulling_blobs_content_type_is_octets(client, blob):
    assert client.get(blob).header("Content-Type") == "application/octet-stream"


def test_pulling_blobs_unknown_digest_is_404(client, repo, alg):
    push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/blobs/{no_digest(alg)}")
    assert reply.status == 404
    assert reply.codes == ["BLOB_UNKNOWN"]


def test_pulling_blobs_from_an_unknown_repository_is_404(client):
    assert client.get(f"/v2/no/such/repository/blobs/{no_digest()}").status == 404


def test_pulling_blobs_of_another_repository_is_404(client, repo):
    digest = push_blob(client, repo, noise(100, "not yours"))
    push_image(client, repo + "-other", "v1")
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/{repo}-other/blobs/{digest}").status == 404


@pytest.mark.parametrize("digest", [
    "sha256:baddigeststring", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "F" * 64,
    "sha512:" + "0" * 64, "sha256", "sha256:", "latest", "SHA256:" + "0" * 64, "sha256:" + "0" * 63 + "%20",
])
def test_pulling_blobs_malformed_digest_is_refused(client, repo, digest):
    push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/blobs/{digest}")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


@pytest.mark.parametrize("digest", ["sha384:" + "0" * 96, "md5:" + "0" * 32])
def test_pulling_blobs_digest_of_an_unsupported_algorithm_is_not_found_or_refused(client, repo, digest):
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/blobs/{digest}").status in (400, 404)


def test_pulling_blobs_percent_encoded_digest_is_the_same_digest(client, blob):
    assert client.get(blob.replace("sha256:", "sha256%3A")).body == DATA


# Checking if content exists ------------------------------------------------------------------------


def test_checking_blob_exists_has_the_headers_of_get(client, blob):
    get, head = client.get(blob), client.head(blob)
    assert head.status == 200
    assert head.body == b""
    assert head.header("Content-Length") == str(SIZE)
    for name in ("Content-Type", "Docker-Content-Digest", "ETag", "Accept-Ranges"):
        assert head.header(name) == get.header(name), name


def test_checking_blob_that_does_not_exist_is_404_without_a_body(client, repo):
    push_image(client, repo, "v1")
    reply = client.head(f"/v2/{repo}/blobs/{no_digest()}")
    assert reply.status == 404
    assert reply.body == b""


# Ranges (RFC 9110, 14) -----------------------------------------------------------------------------


def test_pulling_blobs_says_that_ranges_work(client, blob):
    assert client.get(blob).header("Accept-Ranges") == "bytes"


@pytest.mark.parametrize("value, first, last", [
    ("bytes=500-1499", 500, 1499),
    ("bytes=500-", 500, SIZE - 1),
    ("bytes=-500", SIZE - 500, SIZE - 1),
    ("bytes=2000-5000", 2000, SIZE - 1),
    ("bytes=0-0", 0, 0),
    ("bytes=0-", 0, SIZE - 1),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
    ("bytes=-1", SIZE - 1, SIZE - 1),
    ("bytes=-99999", 0, SIZE - 1),
    ("bytes=1-18446744073709551615", 1, SIZE - 1),
    ("BYTES=10-19", 10, 19),
])
def test_pulling_blobs_range_gives_that_part(client, blob, value, first, last):
    reply = client.get(blob, {"Range": value})
    assert reply.status == 206, reply
    assert reply.body == DATA[first:last + 1]
    assert reply.header("Content-Range") == f"bytes {first}-{last}/{SIZE}"
    assert reply.header("Content-Length") == str(last + 1 - first)


def test_pulling_blobs_range_reply_has_digest_and_etag(client, blob):
    reply = client.get(blob, {"Range": "bytes=0-9"})
    assert reply.digest == digest_of(DATA)
    assert reply.header("ETag") == f'"{digest_of(DATA)}"'


@pytest.mark.parametrize("value", ["bytes=500-0", f"bytes={SIZE}-", "bytes=5000-10000", "bytes=-0",
                                   "bytes=9999-, 5000-6000"])
def test_pulling_blobs_range_outside_the_content_is_416(client, blob, value):
    reply = client.get(blob, {"Range": value})
    assert reply.status == 416
    assert reply.header("Content-Range") == f"bytes */{SIZE}"
    assert client.get(blob).body == DATA  # the connection is still in step


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-0", "bytes=-0"])
def test_pulling_blobs_range_of_an_empty_blob_is_416(client, repo, value):
    digest = push_blob(client, repo, b"")
    reply = client.get(f"/v2/{repo}/blobs/{digest}", {"Range": value})
    assert reply.status == 416
    assert reply.header("Content-Range") == "bytes */0"


def test_pulling_blobs_last_bytes_of_an_empty_blob_are_none(client, repo):
    digest = push_blob(client, repo, b"")
    reply = client.get(f"/v2/{repo}/blobs/{digest}", {"Range": "bytes=-5"})
    # The whole, which is nothing, or the refusal: only a 206 could not say what it has.
    assert reply.status in (200, 416)
    if reply.status == 200:
        assert reply.body == b""


@pytest.mark.parametrize("value", ["lines=1-2", "bytes", "bytes=", "bytes=a-b", "bytes=1", "bytes=--1",
                                   "bytes=1-2-3", "bytes=0x1-2", "1-2", "", "bytes=1-2;3-4"])
def test_pulling_blobs_range_that_is_none_is_ignored(client, blob, value):
    reply = client.get(blob, {"Range": value})
    assert reply.status == 200
    assert reply.body == DATA


def test_pulling_blobs_range_is_for_get_only(client, blob):
    reply = client.head(blob, {"Range": "bytes=0-9"})
    assert reply.status in (200, 206)
    if reply.status == 200:
        assert reply.header("Content-Length") == str(SIZE)
    else:
        assert reply.header("Content-Length") == "10"


def test_pulling_blobs_several_ranges_come_as_multipart(client, blob):
    reply = client.get(blob, {"Range": "bytes=0-9,100-199,-5"})
    assert reply.status == 206
    assert reply.header("Content-Length") == str(len(reply.body))
    assert not reply.all("Content-Range")
    assert parts_of(reply) == [
        (f"bytes 0-9/{SIZE}", DATA[:10]),
        (f"bytes 100-199/{SIZE}", DATA[100:200]),
        (f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}", DATA[-5:]),
    ]


def test_pulling_blobs_several_ranges_cannot_be_forged_by_the_content(client, repo, blob):
    # Content that has the boundary of an earlier reply in it, as whoever pushes could arrange.
    content_type = client.get(blob, {"Range": "bytes=0-0,9-9"}).header("Content-Type")
    boundary = re.search(r'boundary="?([^"]*)', content_type)[1]
    forged = f"\r\n--{boundary}\r\nContent-Range: bytes 500-509/4000\r\n\r\n".encode() + b"x" * 10
    data = noise(100, "before") + forged + noise(3000, "after")
    target = f"/v2/{repo}/blobs/{push_blob(client, repo, data)}"
    reply = client.get(target, {"Range": "bytes=50-399,1000-1099"})
    assert [content for _, content in parts_of(reply)] == [data[50:400], data[1000:1100]]


def test_pulling_blobs_several_ranges_out_of_order_are_all_served(client, blob):
    reply = client.get(blob, {"Range": "bytes=1000-1009, 5-9 ,  500-500"})
    assert reply.status == 206
    assert sorted(data for _, data in parts_of(reply)) == sorted([DATA[1000:1010], DATA[5:10], DATA[500:501]])


def test_pulling_blobs_several_ranges_leave_out_what_lies_outside(client, blob):
    reply = client.get(blob, {"Range": "bytes=10-19,9000-9999"})
    assert reply.status == 206
    if reply.all("Content-Range"):
        assert reply.header("Content-Range") == f"bytes 10-19/{SIZE}"
        assert reply.body == DATA[10:20]
    else:
        assert parts_of(reply) == [(f"bytes 10-19/{SIZE}", DATA[10:20])]


def test_pulling_blobs_too_many_ranges_do_not_multiply_the_work(client, blob):
    reply = client.get(blob, {"Range": "bytes=" + ",".join(["0-"] * 1000)})
    assert reply.status in (200, 206, 416)
    assert len(reply.body) <= 4 * SIZE


def test_pulling_blobs_interrupted_pull_goes_on_where_it_stopped(client, repo):
    data = noise(300000, "resume")
    target = f"/v2/{repo}/blobs/{push_blob(client, repo, data)}"
    got = client.get(target, {"Range": "bytes=0-99999"}).body
    got += client.get(target, {"Range": f"bytes={len(got)}-"}).body
    assert got == data


# Conditional requests (RFC 9110, 13) ----------------------------------------------------------------


def test_pulling_blobs_etag_is_the_quoted_digest(client, blob):
    assert client.get(blob).header("ETag") == f'"{digest_of(DATA)}"'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulling_blobs_if_none_match_of_the_same_is_304(client, blob, method):
    reply = client.request(method, blob, headers={"If-None-Match": f'"{digest_of(DATA)}"'})
    assert reply.status == 304
    assert reply.body == b""
    assert reply.header("ETag") == f'"{digest_of(DATA)}"'


def test_pulling_blobs_if_none_match_comes_before_range(client, blob):
    reply = client.get(blob, {"If-None-Match": f'"{digest_of(DATA)}"', "Range": "bytes=0-9"})
    assert reply.status == 304


def test_pulling_blobs_if_none_match_of_another_is_200(client, blob):
    assert client.get(blob, {"If-None-Match": f'"{no_digest()}"'}).body == DATA


def test_pulling_blobs_if_range_of_the_same_gives_the_range(client, blob):
    reply = client.get(blob, {"If-Range": f'"{digest_of(DATA)}"', "Range": "bytes=0-9"})
    assert reply.status == 206
    assert reply.body == DATA[:10]


def test_pulling_blobs_if_range_of_another_gives_the_whole(client, blob):
    reply = client.get(blob, {"If-Range": f'"{no_digest()}"', "Range": "bytes=0-9"})
    assert reply.status == 200
    assert reply.body == DATA
