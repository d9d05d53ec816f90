"""Distribution-spec, "Pushing blobs": monolithic pushes, POST then PUT (end-4a, end-6) and a single
POST (end-4b), and "Cancel a blob upload" (end-14)."""

import re

import pytest
from harness import OCTETS, digest_of, local, no_digest, noise, parallel, push_blob, with_query

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def begin(client, repo, query=""):
    reply = client.post(f"/v2/{repo}/blobs/uploads/{query}")
    assert reply.status == 202, reply
    return local(reply.location)


def check_stored(client, repo, data, alg="sha256"):
    digest = digest_of(data, alg)
    head = client.head(f"/v2/{repo}/blobs/{digest}")
    assert head.status == 200
    assert head.header("Content-Length") == str(len(data))
    assert client.get(f"/v2/{repo}/blobs/{digest}").body == data


def check_absent(client, repo, digest):
    assert client.head(f"/v2/{repo}/blobs/{digest}").status == 404


# POST then PUT -------------------------------------------------------------------------------------


def test_post_then_put_begins_with_202_and_a_location(client, repo):
    reply = client.post(f"/v2/{repo}/blobs/uploads/")
    assert reply.status == 202
    assert local(reply.location).startswith(f"/v2/{repo}/blobs/uploads/")
    assert reply.body == b""


def test_post_then_put_location_has_a_uuid_of_its_own(client, repo):
    found = [UUID.search(begin(client, repo)) for _ in range(20)]
    assert all(found)
    assert len({m[0] for m in found}) == 20


def test_post_then_put_session_id_is_in_the_path_and_in_docker_upload_uuid(client, repo):
    reply = client.post(f"/v2/{repo}/blobs/uploads/")
    path = local(reply.location).split("?")[0]
    assert path.endswith("/" + reply.header("Docker-Upload-UUID"))


def test_post_then_put_works_without_the_last_slash(client, repo):
    reply = client.post(f"/v2/{repo}/blobs/uploads")
    assert reply.status == 202
    assert client.get(local(reply.location)).status == 204


def test_post_then_put_ends_with_201_and_a_pullable_location(client, repo, alg):
    data = noise(5000, "post put")
    digest = digest_of(data, alg)
    reply = client.put(with_query(begin(client, repo), digest=digest), data, {"Content-Type": OCTETS})
    assert reply.status == 201
    assert client.get(local(reply.location)).body == data
    assert reply.digest == digest
    check_stored(client, repo, data, alg)


def test_post_then_put_takes_a_percent_encoded_digest(client, repo, alg):
    data = noise(100, "percent")
    digest = digest_of(data, alg).replace(":", "%3A")
    assert client.put(with_query(begin(client, repo), digest=digest), data).status == 201
    check_stored(client, repo, data, alg)


def test_post_then_put_takes_a_chunked_body(client, repo):
    data = noise(200000, "chunked put")
    target = with_query(begin(client, repo), digest=digest_of(data))
    pieces = [data[:1], data[1:70000], data[70000:]]
    assert client.put(target, pieces, chunked=True).status == 201
    check_stored(client, repo, data)


@pytest.mark.parametrize("size", [0, 1, 65536, (3 << 20) + 1])
def test_post_then_put_takes_any_size(client, repo, size, alg):
    data = noise(size, f"any size {size}")
    push_blob(client, repo, data, alg)
    check_stored(client, repo, data, alg)


def test_post_then_put_without_content_type(client, repo):
    data = noise(100, "no type")
    assert client.put(with_query(begin(client, repo), digest=digest_of(data)), data).status == 201


def test_post_then_put_with_another_content_is_400_digest_invalid(client, repo, alg):
    promised = digest_of(b"promised", alg)
    reply = client.put(with_query(begin(client, repo), digest=promised), b"something else")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]
    check_absent(client, repo, promised)
    check_absent(client, repo, digest_of(b"something else", alg))


@pytest.mark.parametrize("digest", ["sha256:bad", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "", "x",
                                    "sha384:" + "0" * 96, "md5:" + "0" * 32])
def test_post_then_put_with_an_invalid_or_unsupported_digest_is_400(client, repo, digest):
    reply = client.put(with_query(begin(client, repo), digest=digest), b"data")
    assert reply.status == 400
    assert set(reply.codes) <= {"DIGEST_INVALID", "UNSUPPORTED"}


def test_post_then_put_without_a_digest_is_400(client, repo):
    reply = client.put(begin(client, repo), b"data")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


def test_post_then_put_ends_the_session(client, repo):
    data = noise(100, "ends")
    target = begin(client, repo)
    assert client.put(with_query(target, digest=digest_of(data)), data).status == 201
    for reply in (client.get(target), client.patch(target, b"more"),
                  client.put(with_query(target, digest=digest_of(data)), data), client.delete(target)):
        assert reply.status == 404
        assert reply.codes == ["BLOB_UPLOAD_UNKNOWN"]


def test_post_then_put_of_a_blob_that_is_there_is_201_again(client, repo, alg):
    data = noise(1000, "twice")
    for _ in range(3):
        push_blob(client, repo, data, alg)
    check_stored(client, repo, data, alg)


def test_post_then_put_of_the_same_blob_by_many_at_once(server, client, repo):
    data = noise(300000, "race")

    def push():
        with server.client() as c:
            return push_blob(c, repo, data)

    assert parallel([push] * 8) == [digest_of(data)] * 8
    check_stored(client, repo, data)


def test_post_then_put_of_the_same_content_by_two_algorithms(client, repo):
    data = noise(1000, "two algorithms")
    push_blob(client, repo, data, "sha256")
    push_blob(client, repo, data, "sha512")
    for alg in ("sha256", "sha512"):
        check_stored(client, repo, data, alg)


# Single POST ---------------------------------------------------------------------------------------


def test_single_post_is_201_and_a_pullable_location(client, repo, alg):
    data = noise(5000, "single post")
    digest = digest_of(data, alg)
    reply = client.post(f"/v2/{repo}/blobs/uploads/?digest={digest}", data, {"Content-Type": OCTETS})
    assert reply.status == 201
    assert client.get(local(reply.location)).body == data
    assert reply.digest == digest
    check_stored(client, repo, data, alg)


def test_single_post_takes_an_empty_blob(client, repo, alg):
    assert client.post(f"/v2/{repo}/blobs/uploads/?digest={digest_of(b'', alg)}", b"").status == 201
    check_stored(client, repo, b"", alg)


def test_single_post_takes_a_chunked_body(client, repo):
    data = noise(100000, "single post chunked")
    reply = client.post(f"/v2/{repo}/blobs/uploads/?digest={digest_of(data)}", [data], chunked=True)
    assert reply.status == 201
    check_stored(client, repo, data)


def test_single_post_with_another_content_is_400_digest_invalid(client, repo, alg):
    promised = digest_of(b"promised", alg)
    reply = client.post(f"/v2/{repo}/blobs/uploads/?digest={promised}", b"something else")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]
    check_absent(client, repo, promised)


@pytest.mark.parametrize("digest", ["sha256:bad", "x", "sha384:" + "0" * 96])
def test_single_post_with_an_invalid_or_unsupported_digest_is_400(client, repo, digest):
    reply = client.post(f"/v2/{repo}/blobs/uploads/?digest={digest}", b"data")
    assert reply.status == 400
    assert set(reply.codes) <= {"DIGEST_INVALID", "UNSUPPORTED"}


# Cancel a blob upload (end-14) ---------------------------------------------------------------------


def test_cancel_a_blob_upload_is_204(client, repo):
    target = begin(client, repo)
    assert client.delete(target).status == 204


def test_cancel_a_blob_upload_with_content_length_0(client, repo):
    assert client.delete(begin(client, repo), {"Content-Length": "0"}).status == 204


def test_cancel_a_blob_upload_ends_the_session(client, repo):
    target = begin(client, repo)
    assert client.patch(target, b"some bytes").status == 202
    assert client.delete(target).status == 204
    for reply in (client.get(target), client.patch(target, b"more"), client.delete(target),
                  client.put(with_query(target, digest=digest_of(b"some bytes")))):
        assert reply.status == 404
        assert reply.codes == ["BLOB_UPLOAD_UNKNOWN"]
    check_absent(client, repo, digest_of(b"some bytes"))


def test_cancel_a_blob_upload_frees_the_bytes(server, client, repo):
    uploads = server.data / "uploads"
    before = set(uploads.iterdir()) if uploads.exists() else set()
    target = begin(client, repo)
    client.patch(target, noise(100000, "cancel"))
    assert client.delete(target).status == 204
    assert set(uploads.iterdir()) <= before


def test_cancel_a_blob_upload_leaves_other_sessions_alone(client, repo):
    one, other = begin(client, repo), begin(client, repo)
    client.patch(other, b"kept")
    assert client.delete(one).status == 204
    assert client.put(with_query(other, digest=digest_of(b"kept"))).status == 201


# Sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("session", ["00000000-0000-4000-8000-000000000000", "nonsense", "x" * 200,
                                     "..%2f..", "%2e%2e"])
def test_upload_session_that_never_was_is_404(client, repo, method, session):
    push_blob(client, repo, b"the repository is there")
    target = f"/v2/{repo}/blobs/uploads/{session}?digest={digest_of(b'x')}"
    reply = client.request(method, target, b"x" if method in ("PATCH", "PUT") else None)
    assert reply.status == 404
    assert reply.codes == ["BLOB_UPLOAD_UNKNOWN"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_upload_session_of_another_repository_is_404(client, repo, method):
    target = begin(client, repo)
    other = target.replace(f"/v2/{repo}/", f"/v2/{repo}-other/")
    reply = client.request(method, with_query(other, digest=digest_of(b"x")),
                           b"x" if method in ("PATCH", "PUT") else None)
    assert reply.status == 404
    assert reply.codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert client.get(target).header("Range") == "0-0"


def test_upload_of_a_missing_blob_leaves_nothing_to_pull(client, repo):
    target = begin(client, repo)
    client.patch(target, b"unfinished")
    check_absent(client, repo, digest_of(b"unfinished"))
    check_absent(client, repo, no_digest())
