"""Distribution-spec, "Mounting a blob from another repository" (end-11)."""

import pytest
from harness import (descriptor, digest_of, image_manifest, local, no_digest, noise, push_blob,
                     push_manifest, with_query)


@pytest.fixture
def source(client, repo):
    """Another repository."""
    return repo + "-source"


def mount(client, repo, query):
    return client.post(f"/v2/{repo}/blobs/uploads/?{query}")


def check_mounted(client, repo, reply, data, alg="sha256"):
    assert reply.status == 201, reply
    assert reply.digest == digest_of(data, alg)
    assert client.get(local(reply.location)).body == data
    assert client.get(f"/v2/{repo}/blobs/{digest_of(data, alg)}").body == data


def check_upload_begun(client, repo, reply):
    """202: nothing was mounted, the client sends the bytes."""
    assert reply.status == 202, reply
    data = noise(77, repo)
    assert client.put(with_query(reply.location, digest=digest_of(data)), data).status == 201


def test_mounting_a_blob_is_201_with_a_pullable_location(client, repo, source, alg):
    data = noise(1000, "mount")
    digest = push_blob(client, source, data, alg)
    check_mounted(client, repo, mount(client, repo, f"mount={digest}&from={source}"), data, alg)


def test_mounting_a_blob_parameters_come_in_either_order(client, repo, source):
    data = noise(1000, "order")
    digest = push_blob(client, source, data)
    check_mounted(client, repo, mount(client, repo, f"from={source}&mount={digest}"), data)


def test_mounting_a_blob_parameters_may_be_percent_encoded(client, repo, source):
    data = noise(1000, "percent")
    digest = push_blob(client, source, data).replace(":", "%3A")
    source = source.replace("/", "%2F")
    check_mounted(client, repo, mount(client, repo, f"from={source}&mount={digest}"), data)


def test_mounting_a_blob_parameters_of_others_are_ignored(client, repo, source):
    data = noise(1000, "origin")
    digest = push_blob(client, source, data)
    query = f"from={source}&mount={digest}&origin=127.0.0.1%3A5000"
    check_mounted(client, repo, mount(client, repo, query), data)


def test_mounting_a_blob_without_from_finds_it(client, repo, source, alg):
    data = noise(1000, "anonymous")
    digest = push_blob(client, source, data, alg)
    check_mounted(client, repo, mount(client, repo, f"mount={digest}"), data, alg)


def test_mounting_a_blob_that_is_nowhere_begins_an_upload(client, repo, source):
    push_blob(client, source, b"the repository is there")
    check_upload_begun(client, repo, mount(client, repo, f"mount={no_digest()}&from={source}"))
    check_upload_begun(client, repo, mount(client, repo, f"mount={no_digest()}"))


def test_mounting_a_blob_that_was_deleted_everywhere_begins_an_upload(client, repo, source):
    digest = push_blob(client, source, noise(1000, "deleted"))
    assert client.delete(f"/v2/{source}/blobs/{digest}").status == 202
    check_upload_begun(client, repo, mount(client, repo, f"mount={digest}&from={source}"))
    check_upload_begun(client, repo, mount(client, repo, f"mount={digest}"))


def test_mounting_a_blob_looks_in_from_only(client, repo, source):
    digest = push_blob(client, source, noise(1000, "elsewhere"))
    push_blob(client, repo + "-third", b"the repository is there")
    check_upload_begun(client, repo, mount(client, repo, f"mount={digest}&from={repo}-third"))


def test_mounting_a_blob_from_an_unknown_repository_begins_an_upload(client, repo):
    reply = mount(client, repo, f"mount={no_digest()}&from=no/such/repository")
    check_upload_begun(client, repo, reply)


@pytest.mark.parametrize("name", ["UPPER", "a//b", "", "..%2F..", "x" * 300])
def test_mounting_a_blob_from_what_is_no_name_begins_an_upload(client, repo, name):
    check_upload_begun(client, repo, mount(client, repo, f"mount={no_digest()}&from={name}"))


def test_mounting_a_blob_upload_that_was_begun_instead_takes_the_blob(client, repo):
    data = noise(500, "instead")
    reply = mount(client, repo, f"mount={digest_of(data)}&from=no/such/repository")
    assert reply.status == 202
    done = client.put(with_query(reply.location, digest=digest_of(data)), data)
    assert done.status == 201
    assert client.get(f"/v2/{repo}/blobs/{digest_of(data)}").body == data


@pytest.mark.parametrize("digest", ["sha256:bad", "x", "sha256:" + "0" * 65])
def test_mounting_a_blob_of_a_malformed_digest_is_400(client, repo, digest):
    reply = mount(client, repo, f"mount={digest}&from=a/b")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


def test_mounting_a_blob_into_its_own_repository(client, repo):
    data = noise(1000, "own")
    digest = push_blob(client, repo, data)
    check_mounted(client, repo, mount(client, repo, f"mount={digest}&from={repo}"), data)


def test_mounting_a_blob_twice(client, repo, source):
    data = noise(1000, "twice")
    digest = push_blob(client, source, data)
    for _ in range(2):
        check_mounted(client, repo, mount(client, repo, f"mount={digest}&from={source}"), data)


def test_mounted_blob_can_be_part_of_a_manifest(client, repo, source):
    config, layer = b"{}", noise(1000, "part")
    for blob in (config, layer):
        push_blob(client, source, blob)
        assert mount(client, repo, f"mount={digest_of(blob)}&from={source}").status == 201
    push_manifest(client, repo, "v1", image_manifest(descriptor(config), [descriptor(layer)]))


def test_mounted_blob_stays_when_the_source_deletes_it(client, repo, source):
    data = noise(1000, "stays")
    digest = push_blob(client, source, data)
    mount(client, repo, f"mount={digest}&from={source}")
    assert client.delete(f"/v2/{source}/blobs/{digest}").status == 202
    assert client.get(f"/v2/{source}/blobs/{digest}").status == 404
    assert client.get(f"/v2/{repo}/blobs/{digest}").body == data


def test_mounted_blob_is_one_file(server, client, repo, source):
    data = noise(1000, "one file")
    digest = push_blob(client, source, data)
    mount(client, repo, f"mount={digest}&from={source}")
    assert server.blob_file(digest).read_bytes() == data
    assert server.blob_file(digest).stat().st_nlink == 1
