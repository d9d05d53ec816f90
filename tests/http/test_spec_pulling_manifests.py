"""Distribution-spec, "Pulling manifests" and, for manifests, "Checking if content exists" (end-3)."""

import pytest
from harness import (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST,
                     descriptor, digest_of, encode, image_manifest, index_manifest, no_digest, push_artifact,
                     push_blob, push_image, push_manifest)

DOCKER_ACCEPT = [("Accept", t) for t in (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
)]


def push_docker_image(client, repo, reference, seed="docker"):
    config, layer = encode({"architecture": "amd64", "os": "linux", "seed": seed}), seed.encode() * 50
    for blob in (config, layer):
        push_blob(client, repo, blob)
    body = image_manifest(descriptor(config, DOCKER_CONFIG), [descriptor(layer, DOCKER_LAYER)],
                          media_type=DOCKER_MANIFEST)
    push_manifest(client, repo, reference, body, DOCKER_MANIFEST)
    return body


def test_pulling_manifests_by_tag_gives_the_bytes_that_were_pushed(client, repo):
    image = push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/v1")
    assert reply.status == 200
    assert reply.body == image.body


def test_pulling_manifests_by_digest_gives_the_bytes_that_were_pushed(client, repo, alg):
    image = push_image(client, repo, alg=alg)
    reply = client.get(f"/v2/{repo}/manifests/{image.digest}")
    assert reply.status == 200
    assert reply.body == image.body


def test_pulling_manifests_pushed_by_tag_can_be_pulled_by_digest(client, repo):
    image = push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/{image.digest}").body == image.body


def test_pulling_manifests_keeps_odd_formatting(client, repo):
    config = descriptor(b"{}", "application/vnd.oci.empty.v1+json")
    push_blob(client, repo, b"{}")
    plain = image_manifest(config, [])
    body = b"\n\t " + plain.replace(b",", b" ,\r\n  ") + b"\n\n"
    digest = push_manifest(client, repo, "odd", body).digest
    assert digest == digest_of(body)
    assert client.get(f"/v2/{repo}/manifests/odd").body == body


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulling_manifests_returns_docker_content_digest(client, repo, method, by):
    image = push_image(client, repo, "v1")
    reply = client.request(method, f"/v2/{repo}/manifests/{'v1' if by == 'tag' else image.digest}")
    assert reply.status == 200
    assert reply.digest == image.digest


def test_pulling_manifests_by_sha512_returns_that_digest(client, repo):
    image = push_image(client, repo, alg="sha512")
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/{repo}/manifests/{image.digest}").digest == image.digest


def test_pulling_manifests_returns_the_content_type_it_was_pushed_with(client, repo):
    image = push_image(client, repo, "image")
    push_manifest(client, repo, "index", index_manifest([image.descriptor()]), OCI_INDEX)
    push_docker_image(client, repo, "docker")
    for tag, media_type in (("image", OCI_MANIFEST), ("index", OCI_INDEX), ("docker", DOCKER_MANIFEST)):
        for method in ("GET", "HEAD"):
            # Exactly: no parameters, no charset.
            reply = client.request(method, f"/v2/{repo}/manifests/{tag}")
            assert reply.header("Content-Type") == media_type


def test_pulling_manifests_returns_content_length(client, repo):
    image = push_image(client, repo, "v1")
    for method in ("GET", "HEAD"):
        reply = client.request(method, f"/v2/{repo}/manifests/v1")
        assert reply.header("Content-Length") == str(len(image.body))


def test_pulling_manifests_unknown_tag_is_404(client, repo):
    push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/v2")
    assert reply.status == 404
    assert reply.codes == ["MANIFEST_UNKNOWN"]


def test_pulling_manifests_unknown_digest_is_404(client, repo, alg):
    push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/{no_digest(alg)}")
    assert reply.status == 404
    assert reply.codes == ["MANIFEST_UNKNOWN"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reference", ["latest", no_digest()])
def test_pulling_manifests_from_an_unknown_repository_is_404(client, method, reference):
    assert client.request(method, f"/v2/no/such/repository/manifests/{reference}").status == 404


def test_pulling_manifests_of_another_repository_is_404(client, repo):
    image = push_image(client, repo, "v1")
    push_image(client, repo + "-other", "other", seed="other")
    assert client.get(f"/v2/{repo}-other/manifests/{image.digest}").status == 404
    assert client.get(f"/v2/{repo}-other/manifests/v1").status == 404


def test_pulling_manifests_a_blob_is_not_a_manifest(client, repo):
    image = push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/{image.blobs[0]}").status == 404


@pytest.mark.parametrize("reference", [
    "sha256:baddigeststring", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "A" * 64,
    "sha256:" + "g" * 64, "sha512:" + "0" * 64, "sha256:", ":" + "0" * 64, "sha256:%30" + "0" * 64,
])
def test_pulling_manifests_malformed_digest_is_refused(client, repo, reference):
    push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/{reference}")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


@pytest.mark.parametrize("reference", ["sha384:" + "0" * 96, "md5:" + "0" * 32, "blake3:" + "0" * 64])
def test_pulling_manifests_by_an_unsupported_algorithm_is_not_found_or_refused(client, repo, reference):
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/{reference}").status in (400, 404)


@pytest.mark.parametrize("reference", ["-v1", ".v1", "v1+x", "v%201", "x" * 129, "%C3%A9", "v1%00", "v1/x"])
def test_pulling_manifests_reference_outside_the_grammar_finds_nothing(client, repo, reference):
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/{reference}").status in (400, 404)


@pytest.mark.parametrize("tag", ["_", "0", "A", "a.b-c_d", "x" * 128, "latest.", "v1--", "UPPER"])
def test_pulling_manifests_tags_of_the_grammar_work(client, repo, tag):
    image = push_image(client, repo, tag)
    assert client.get(f"/v2/{repo}/manifests/{tag}").body == image.body


def test_pulling_manifests_tags_differ_by_case(client, repo):
    lower = push_image(client, repo, "tag", seed="lower")
    upper = push_image(client, repo, "TAG", seed="upper")
    assert client.get(f"/v2/{repo}/manifests/tag").digest == lower.digest
    assert client.get(f"/v2/{repo}/manifests/TAG").digest == upper.digest


def test_pulling_manifests_percent_encoded_digest_is_the_same_digest(client, repo):
    image = push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/{image.digest.replace(':', '%3A')}").body == image.body


# Accept: content negotiation -----------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    [], [("Accept", "*/*")], [("Accept", "application/json")], DOCKER_ACCEPT,
    [("Accept", ", ".join(v for _, v in DOCKER_ACCEPT) + ", */*")],
    [("Accept", f"{OCI_MANIFEST};q=0.5, {OCI_INDEX}")],
    [("Accept", "text/html")],
], ids=["none", "any", "json", "six-lines", "one-line", "weighted", "html"])
def test_pulling_manifests_sends_what_is_stored_whatever_accept_says(client, repo, headers):
    image = push_image(client, repo, "image")
    index = index_manifest([image.descriptor()])
    push_manifest(client, repo, "index", index, OCI_INDEX)
    docker = push_docker_image(client, repo, "docker")
    for tag, body, media_type in (("image", image.body, OCI_MANIFEST), ("index", index, OCI_INDEX),
                                  ("docker", docker, DOCKER_MANIFEST)):
        reply = client.get(f"/v2/{repo}/manifests/{tag}", headers)
        assert reply.status == 200
        assert reply.body == body
        assert reply.header("Content-Type") == media_type


def test_pulling_manifests_docker_manifest_list_is_not_resolved(client, repo):
    body = push_docker_image(client, repo, "amd64")
    entry = descriptor(body, DOCKER_MANIFEST, platform={"architecture": "amd64", "os": "linux"})
    docker_list = index_manifest([entry], media_type=DOCKER_LIST)
    push_manifest(client, repo, "list", docker_list, DOCKER_LIST)
    reply = client.get(f"/v2/{repo}/manifests/list", [("Accept", DOCKER_MANIFEST), ("Accept", DOCKER_LIST)])
    assert reply.body == docker_list
    assert reply.header("Content-Type") == DOCKER_LIST


# Checking if content exists ------------------------------------------------------------------------


def test_checking_manifest_exists_has_the_headers_of_get(client, repo):
    push_image(client, repo, "v1")
    get, head = client.get(f"/v2/{repo}/manifests/v1"), client.head(f"/v2/{repo}/manifests/v1")
    assert head.status == 200
    assert head.body == b""
    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
        assert head.header(name) == get.header(name), name


def test_checking_manifest_that_does_not_exist_is_404_without_a_body(client, repo):
    push_image(client, repo, "v1")
    for reference in ("none", no_digest()):
        reply = client.head(f"/v2/{repo}/manifests/{reference}")
        assert reply.status == 404
        assert reply.body == b""


# Conditional requests (RFC 9110, 13) ----------------------------------------------------------------


def test_pulling_manifests_etag_is_the_quoted_digest(client, repo):
    image = push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/v1").header("ETag") == f'"{image.digest}"'


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulling_manifests_if_none_match_of_the_same_is_304(client, repo, method, form):
    image = push_image(client, repo, "v1")
    condition = {"If-None-Match": form.format(image.digest)}
    reply = client.request(method, f"/v2/{repo}/manifests/v1", headers=condition)
    assert reply.status == 304
    assert reply.body == b""
    assert reply.header("ETag") == f'"{image.digest}"'
    assert reply.digest == image.digest
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body  # the connection is still in step


def test_pulling_manifests_if_none_match_of_another_is_200(client, repo):
    image = push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/v1", {"If-None-Match": f'"{no_digest()}"'})
    assert reply.status == 200
    assert reply.body == image.body


def test_pulling_manifests_if_none_match_sees_a_moved_tag(client, repo):
    old = push_image(client, repo, "v1", seed="old")
    new = push_image(client, repo, "v1", seed="new")
    reply = client.get(f"/v2/{repo}/manifests/v1", {"If-None-Match": f'"{old.digest}"'})
    assert reply.status == 200
    assert reply.digest == new.digest


def test_pulling_manifests_artifact_is_pulled_like_an_image(client, repo):
    artifact = push_artifact(client, repo, artifact_type="application/vnd.example.sbom.v1", reference="sbom")
    reply = client.get(f"/v2/{repo}/manifests/sbom")
    assert reply.body == artifact.body
    assert reply.header("Content-Type") == OCI_MANIFEST
