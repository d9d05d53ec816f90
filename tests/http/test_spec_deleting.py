"""Distribution-spec, "Content Management": deleting tags, manifests (end-9) and blobs (end-10)."""

import pytest
from harness import (OCI_INDEX, descriptor, digest_of, image_manifest, index_manifest, no_digest, noise,
                     push_artifact, push_blob, push_image, push_manifest)

# Tags ----------------------------------------------------------------------------------------------


def test_deleting_tags_is_202_and_the_tag_is_gone(client, repo):
    push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 202
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/{repo}/manifests/v1").status == 404
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == []


def test_deleting_tags_leaves_the_manifest_and_other_tags(client, repo):
    image = push_image(client, repo, "v1")
    push_manifest(client, repo, "v2", image.body)
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 202
    assert client.get(f"/v2/{repo}/manifests/v2").body == image.body
    assert client.get(f"/v2/{repo}/manifests/{image.digest}").body == image.body
    assert client.head(f"/v2/{repo}/blobs/{image.blobs[0]}").status == 200


def test_deleting_tags_that_are_unknown_is_404(client, repo):
    push_image(client, repo, "v1")
    reply = client.delete(f"/v2/{repo}/manifests/v2")
    assert reply.status == 404
    assert reply.codes == ["MANIFEST_UNKNOWN"]


def test_deleting_tags_twice_is_404(client, repo):
    push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 202
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 404


def test_deleting_tags_they_can_be_pushed_again(client, repo):
    image = push_image(client, repo, "v1")
    client.delete(f"/v2/{repo}/manifests/v1")
    push_manifest(client, repo, "v1", image.body)
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body


def test_deleting_tags_of_another_repository_stay(client, repo):
    push_image(client, repo, "v1")
    push_image(client, repo + "-other", "v1")
    client.delete(f"/v2/{repo}/manifests/v1")
    assert client.get(f"/v2/{repo}-other/manifests/v1").status == 200


# Manifests -----------------------------------------------------------------------------------------


def test_deleting_manifests_is_202_and_the_manifest_is_gone(client, repo, alg):
    image = push_image(client, repo, alg=alg)
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/{repo}/manifests/{image.digest}").status == 404


def test_deleting_manifests_takes_their_tags_along(client, repo):
    image = push_image(client, repo, "v1")
    push_manifest(client, repo, "v2", image.body)
    other = push_image(client, repo, "v3", seed="other")
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    assert client.get(f"/v2/{repo}/manifests/v1").status == 404
    assert client.get(f"/v2/{repo}/manifests/v2").status == 404
    assert client.get(f"/v2/{repo}/manifests/v3").body == other.body
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["v3"]


def test_deleting_manifests_that_are_unknown_is_404(client, repo, alg):
    push_image(client, repo, "v1")
    reply = client.delete(f"/v2/{repo}/manifests/{no_digest(alg)}")
    assert reply.status == 404
    assert reply.codes == ["MANIFEST_UNKNOWN"]


@pytest.mark.parametrize("reference", ["v1", no_digest()])
def test_deleting_manifests_of_an_unknown_repository_is_404(client, reference):
    assert client.delete(f"/v2/no/such/repository/manifests/{reference}").status == 404


def test_deleting_manifests_twice_is_404(client, repo):
    image = push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 404


def test_deleting_manifests_they_can_be_pushed_again(client, repo):
    image = push_image(client, repo, "v1")
    client.delete(f"/v2/{repo}/manifests/{image.digest}")
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body


def test_deleting_manifests_of_another_repository_stay(client, repo):
    image = push_image(client, repo, "v1")
    push_image(client, repo + "-other", "v1")
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    assert client.get(f"/v2/{repo}-other/manifests/v1").body == image.body
    assert client.get(f"/v2/{repo}-other/blobs/{image.blobs[1]}").body == image.layers[0]


def test_deleting_manifests_leaves_their_blobs(client, repo):
    image = push_image(client, repo, "v1")
    client.delete(f"/v2/{repo}/manifests/{image.digest}")
    for digest in image.blobs:
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 200


def test_deleting_manifests_that_an_index_lists_is_405(client, repo):
    image = push_image(client, repo)
    index = index_manifest([image.descriptor()])
    push_manifest(client, repo, "v1", index, OCI_INDEX)
    reply = client.delete(f"/v2/{repo}/manifests/{image.digest}")
    assert reply.status == 405
    assert reply.codes == ["UNSUPPORTED"]
    assert client.get(f"/v2/{repo}/manifests/{image.digest}").body == image.body
    # From the outside in it goes.
    assert client.delete(f"/v2/{repo}/manifests/{digest_of(index)}").status == 202
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202


def test_deleting_manifests_that_are_a_subject_is_202(client, repo):
    image = push_image(client, repo, "v1")
    artifact = push_artifact(client, repo, image.descriptor(), "application/vnd.example")
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    assert client.get(f"/v2/{repo}/manifests/{artifact.digest}").body == artifact.body


@pytest.mark.parametrize("reference", ["sha256:bad", "sha256:" + "0" * 63])
def test_deleting_manifests_by_a_malformed_digest_is_400(client, repo, reference):
    push_image(client, repo, "v1")
    reply = client.delete(f"/v2/{repo}/manifests/{reference}")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


# Blobs ---------------------------------------------------------------------------------------------


def test_deleting_blobs_is_202_and_the_blob_is_gone(client, repo, alg):
    digest = push_blob(client, repo, noise(1000, "delete"), alg)
    assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/{repo}/blobs/{digest}").status == 404


def test_deleting_blobs_that_are_unknown_is_404(client, repo, alg):
    push_image(client, repo, "v1")
    reply = client.delete(f"/v2/{repo}/blobs/{no_digest(alg)}")
    assert reply.status == 404
    assert reply.codes == ["BLOB_UNKNOWN"]


def test_deleting_blobs_of_an_unknown_repository_is_404(client):
    assert client.delete(f"/v2/no/such/repository/blobs/{no_digest()}").status == 404


def test_deleting_blobs_twice_is_404(client, repo):
    digest = push_blob(client, repo, noise(1000, "twice"))
    assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202
    assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 404


def test_deleting_blobs_they_can_be_pushed_again(client, repo):
    data = noise(1000, "again")
    digest = push_blob(client, repo, data)
    client.delete(f"/v2/{repo}/blobs/{digest}")
    assert push_blob(client, repo, data) == digest
    assert client.get(f"/v2/{repo}/blobs/{digest}").body == data


def test_deleting_blobs_of_another_repository_stay(client, repo):
    data = noise(1000, "other repository")
    digest = push_blob(client, repo, data)
    push_blob(client, repo + "-other", data)
    assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202
    assert client.get(f"/v2/{repo}-other/blobs/{digest}").body == data


def test_deleting_blobs_that_a_manifest_refers_to_is_405(client, repo):
    image = push_image(client, repo, "v1")
    for digest in image.blobs:
        reply = client.delete(f"/v2/{repo}/blobs/{digest}")
        assert reply.status == 405
        assert reply.codes == ["UNSUPPORTED"]
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 200
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    for digest in image.blobs:
        assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202


def test_deleting_blobs_that_one_of_two_manifests_refers_to_is_405(client, repo):
    for blob in (b"{}", b"shared"):
        push_blob(client, repo, blob)
    one = image_manifest(descriptor(b"{}"), [descriptor(b"shared")], annotations={"n": "1"})
    two = image_manifest(descriptor(b"{}"), [descriptor(b"shared")], annotations={"n": "2"})
    push_manifest(client, repo, "one", one)
    push_manifest(client, repo, "two", two)
    target = f"/v2/{repo}/blobs/{digest_of(b'shared')}"
    client.delete(f"/v2/{repo}/manifests/{digest_of(one)}")
    assert client.delete(target).status == 405
    client.delete(f"/v2/{repo}/manifests/{digest_of(two)}")
    assert client.delete(target).status == 202


def test_deleting_blobs_does_not_delete_manifests(client, repo):
    image = push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/blobs/{image.digest}").status in (404, 405)
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body


@pytest.mark.parametrize("digest", ["sha256:bad", "x", "sha256:" + "0" * 65])
def test_deleting_blobs_by_a_malformed_digest_is_400(client, repo, digest):
    push_image(client, repo, "v1")
    reply = client.delete(f"/v2/{repo}/blobs/{digest}")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


def test_deleting_everything_leaves_an_empty_repository(client, repo):
    image = push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 202
    assert client.delete(f"/v2/{repo}/manifests/{image.digest}").status == 202
    for digest in image.blobs:
        assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202
    assert client.get(f"/v2/{repo}/tags/list").json() == {"name": repo, "tags": []}
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body
