"""Distribution-spec, "Pushing Manifests" and "Pushing Manifests with Subject" (end-7a, end-7b)."""

import contextlib
import json
import socket
import time

import pytest
from harness import (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_MAX, OCI_CONFIG,
                     OCI_EMPTY, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, descriptor, digest_of,
                     encode, image_manifest, index_manifest, local, no_digest, noise, parallel,
                     push_artifact, push_blob, push_image, push_manifest)


def put(client, repo, reference, body, media_type=OCI_MANIFEST, **options):
    headers = {} if media_type is None else {"Content-Type": media_type}
    return client.put(f"/v2/{repo}/manifests/{reference}", body, headers, **options)


def small(client, repo, seed="small", alg="sha256", **more):
    """The bytes of an image manifest whose blobs are there."""
    config = encode({"seed": seed})
    push_blob(client, repo, config, alg)
    return image_manifest(descriptor(config, OCI_CONFIG, alg), [], **more)


def sized(client, repo, size):
    """A manifest of exactly so many bytes."""
    body = small(client, repo, annotations={"pad": ""})
    return body.replace(b'"pad":""', b'"pad":"' + b"a" * (size - len(body)) + b'"')


def check_absent(client, repo, *references):
    for reference in references:
        assert client.head(f"/v2/{repo}/manifests/{reference}").status == 404


# By tag and by digest ------------------------------------------------------------------------------


def test_pushing_manifests_by_tag_is_201_with_a_pullable_location(client, repo):
    body = small(client, repo)
    reply = put(client, repo, "v1", body)
    assert reply.status == 201
    pulled = client.get(local(reply.location))
    assert pulled.body == body
    assert pulled.header("Content-Type") == OCI_MANIFEST


def test_pushing_manifests_by_digest_is_201_with_a_pullable_location(client, repo, alg):
    body = small(client, repo, alg=alg)
    reply = put(client, repo, digest_of(body, alg), body)
    assert reply.status == 201
    assert client.get(local(reply.location)).body == body


def test_pushing_manifests_returns_docker_content_digest(client, repo, alg):
    body = small(client, repo)
    assert put(client, repo, "v1", body).digest == digest_of(body)
    assert put(client, repo, digest_of(body, alg), body).digest == digest_of(body, alg)


def test_pushing_manifests_without_a_length_is_taken(client, repo):
    body = small(client, repo)
    reply = put(client, repo, "v1", [body[:50], body[50:]], chunked=True)
    assert reply.status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


def test_pushing_manifests_by_digest_sets_no_tag(client, repo):
    body = small(client, repo)
    push_manifest(client, repo, digest_of(body), body)
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == []


def test_pushing_manifests_twice_is_201_again(client, repo):
    body = small(client, repo)
    for _ in range(3):
        assert put(client, repo, "v1", body).status == 201
        assert put(client, repo, digest_of(body), body).status == 201


def test_pushing_manifests_to_a_tag_that_exists_moves_it(client, repo):
    old, new = small(client, repo, "old"), small(client, repo, "new")
    push_manifest(client, repo, "v1", old)
    push_manifest(client, repo, "v1", new)
    assert client.get(f"/v2/{repo}/manifests/v1").body == new
    assert client.get(f"/v2/{repo}/manifests/{digest_of(old)}").body == old
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["v1"]


def test_pushing_manifests_one_manifest_may_have_many_tags(client, repo):
    body = small(client, repo)
    for tag in ("one", "two", "three"):
        push_manifest(client, repo, tag, body)
    for tag in ("one", "two", "three"):
        assert client.get(f"/v2/{repo}/manifests/{tag}").digest == digest_of(body)


def test_pushing_manifests_by_another_digest_is_400_digest_invalid(client, repo, alg):
    body = small(client, repo)
    wrong = digest_of(body + b"  ", alg)
    reply = put(client, repo, wrong, body)
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]
    check_absent(client, repo, wrong, digest_of(body, alg))


@pytest.mark.parametrize("digest", ["sha256:baddigeststring", "sha256:" + "0" * 63, "sha256:" + "A" * 64,
                                    "sha384:" + "0" * 96, "md5:" + "0" * 32])
def test_pushing_manifests_by_an_invalid_or_unsupported_digest_is_400(client, repo, digest):
    reply = put(client, repo, digest, small(client, repo))
    assert reply.status == 400
    assert set(reply.codes) <= {"DIGEST_INVALID", "UNSUPPORTED"}


@pytest.mark.parametrize("tag", ["-v1", ".v1", "v1+x", "v%201", "x" * 129, "%C3%A9", "v1%00"])
def test_pushing_manifests_by_an_invalid_tag_is_400(client, repo, tag):
    body = small(client, repo)
    assert put(client, repo, tag, body).status == 400
    check_absent(client, repo, digest_of(body))


def test_pushing_manifests_by_sha512_with_children_by_sha512(client, repo):
    images = [push_image(client, repo, seed=f"child {n}", alg="sha512") for n in range(2)]
    index = index_manifest([i.descriptor() for i in images])
    digest = digest_of(index, "sha512")
    reply = put(client, repo, digest, index, OCI_INDEX)
    assert reply.status == 201
    assert reply.digest == digest
    assert client.get(f"/v2/{repo}/manifests/{digest}").body == index


def test_pushing_manifests_of_the_same_tag_by_many_at_once(server, client, repo):
    bodies = [small(client, repo, f"parallel {n}") for n in range(8)]

    def push(body):
        with server.client() as c:
            return push_manifest(c, repo, "v1", body)

    parallel([lambda b=b: push(b) for b in bodies])
    assert client.get(f"/v2/{repo}/manifests/v1").body in bodies
    for body in bodies:
        assert client.get(f"/v2/{repo}/manifests/{digest_of(body)}").body == body


# Tag parameters (end-7b) ---------------------------------------------------------------------------


def oci_tags(reply):
    return [t.strip() for value in reply.all("OCI-Tag") for t in value.split(",")]


def test_tag_parameters_set_the_tags_and_say_so(client, repo, alg):
    body = small(client, repo, alg=alg)
    tags = ["1.2.3", "1.2", "1", "latest"]
    query = "?" + "&".join(f"tag={t}" for t in tags)
    reply = push_manifest(client, repo, digest_of(body, alg), body, query=query)
    assert sorted(oci_tags(reply)) == sorted(tags)
    assert reply.digest == digest_of(body, alg)
    for tag in tags:
        pulled = client.get(f"/v2/{repo}/manifests/{tag}")
        assert pulled.body == body
        assert pulled.digest == digest_of(body, alg)
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == sorted(tags)


def test_tag_parameters_of_one_push_may_be_ten_and_more(client, repo):
    body = small(client, repo)
    tags = [f"v{n:02}" + "x" * 100 for n in range(20)]
    reply = push_manifest(client, repo, digest_of(body), body, query="?" + "&".join(f"tag={t}" for t in tags))
    assert sorted(oci_tags(reply)) == tags
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == tags


@pytest.mark.parametrize("count", [1, 8, 16, 24, 32, 40])
def test_tag_parameters_of_the_greatest_length_are_all_confirmed_or_refused(client, repo, count):
    body = small(client, repo)
    tags = [f"{n:02}".ljust(128, "x") for n in range(count)]
    reply = put(client, repo, f"{digest_of(body)}?" + "&".join(f"tag={t}" for t in tags), body)
    if count <= 10 or reply.status == 201:
        assert reply.status == 201
        assert sorted(oci_tags(reply)) == tags
    else:
        assert reply.status == 414
        check_absent(client, repo, digest_of(body), tags[0])


def test_tag_parameters_move_tags(client, repo):
    push_manifest(client, repo, "v1", small(client, repo, "old"))
    body = small(client, repo, "new")
    push_manifest(client, repo, digest_of(body), body, query="?tag=v1")
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


def test_tag_parameters_may_repeat_a_tag(client, repo):
    body = small(client, repo)
    reply = push_manifest(client, repo, digest_of(body), body, query="?tag=v1&tag=v1")
    assert set(oci_tags(reply)) == {"v1"}


@pytest.mark.parametrize("query", ["tag=.bad", "tag=good&tag=-bad", "tag=" + "x" * 129, "tag=", "tag=a%2Fb"])
def test_tag_parameters_with_an_invalid_tag_are_400_and_store_nothing(client, repo, query):
    body = small(client, repo)
    assert put(client, repo, f"{digest_of(body)}?{query}", body).status == 400
    check_absent(client, repo, digest_of(body), "good")


def test_tag_parameters_beyond_the_limit_are_414_and_store_nothing(client, repo):
    body = small(client, repo)
    query = "&".join(f"tag=t{n}" for n in range(200))
    assert put(client, repo, f"{digest_of(body)}?{query}", body).status == 414
    check_absent(client, repo, digest_of(body), "t0")


def test_tag_parameters_absent_means_no_oci_tag(client, repo):
    body = small(client, repo)
    assert push_manifest(client, repo, digest_of(body), body).all("OCI-Tag") == []


# Content types -------------------------------------------------------------------------------------


def test_content_type_parameters_are_ignored(client, repo):
    body = small(client, repo)
    assert put(client, repo, "v1", body, OCI_MANIFEST + "; charset=utf-8").status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").header("Content-Type") == OCI_MANIFEST


def test_content_type_missing_is_taken_from_the_media_type_field(client, repo):
    for name, media_type in (("image", OCI_MANIFEST), ("docker", DOCKER_MANIFEST)):
        body = small(client, repo, media_type=media_type)
        assert put(client, repo, name, body, None).status == 201
        assert client.get(f"/v2/{repo}/manifests/{name}").header("Content-Type") == media_type


def test_content_type_other_than_the_media_type_field_is_400(client, repo):
    for media_type in (OCI_INDEX, DOCKER_MANIFEST, "application/json", "application/x-www-form-urlencoded"):
        reply = put(client, repo, "v1", small(client, repo), media_type)
        assert reply.status == 400
        assert reply.codes == ["MANIFEST_INVALID"]
    check_absent(client, repo, "v1")


def test_content_type_decides_when_the_media_type_field_is_missing(client, repo):
    body = small(client, repo)
    without = encode({k: v for k, v in json.loads(body).items() if k != "mediaType"})
    assert put(client, repo, "v1", without, OCI_MANIFEST).status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").header("Content-Type") == OCI_MANIFEST


def test_content_type_and_media_type_field_missing_the_shape_decides(client, repo):
    for name, body, media_type in (
            ("image", json.loads(small(client, repo)), OCI_MANIFEST),
            ("index", json.loads(index_manifest([])), OCI_INDEX)):
        del body["mediaType"]
        assert put(client, repo, name, encode(body), None).status == 201
        assert client.get(f"/v2/{repo}/manifests/{name}").header("Content-Type") == media_type
    assert put(client, repo, "neither", b'{"schemaVersion":2}', None).status == 400


@pytest.mark.parametrize("media_type", ["x", "/", "application/", "a/b/c", "application/" + "x" * 300])
def test_content_type_that_is_none_is_400(client, repo, media_type):
    body = encode({"schemaVersion": 2, "config": descriptor(b"{}"), "layers": []})
    push_blob(client, repo, b"{}")
    assert put(client, repo, "v1", body, media_type).status == 400


# Kinds of manifests --------------------------------------------------------------------------------


def test_docker_schema_2_manifest_and_list(client, repo):
    config, layer = b'{"architecture":"amd64"}', noise(500, "docker")
    for blob in (config, layer):
        push_blob(client, repo, blob)
    image = image_manifest(descriptor(config, DOCKER_CONFIG), [descriptor(layer, DOCKER_LAYER)],
                           media_type=DOCKER_MANIFEST)
    push_manifest(client, repo, digest_of(image), image, DOCKER_MANIFEST)
    entry = descriptor(image, DOCKER_MANIFEST, platform={"architecture": "amd64", "os": "linux"})
    docker_list = index_manifest([entry], media_type=DOCKER_LIST)
    push_manifest(client, repo, "v1", docker_list, DOCKER_LIST)
    reply = client.get(f"/v2/{repo}/manifests/v1")
    assert reply.body == docker_list
    assert reply.header("Content-Type") == DOCKER_LIST


def test_index_of_indexes(client, repo):
    image = push_image(client, repo)
    inner = index_manifest([image.descriptor(platform={"architecture": "arm64", "os": "linux"})])
    push_manifest(client, repo, digest_of(inner), inner, OCI_INDEX)
    outer = index_manifest([descriptor(inner, OCI_INDEX), image.descriptor()])
    push_manifest(client, repo, "v1", outer, OCI_INDEX)
    assert client.get(f"/v2/{repo}/manifests/v1").body == outer


def test_index_without_entries(client, repo):
    push_manifest(client, repo, "v1", index_manifest([]), OCI_INDEX)
    assert client.get(f"/v2/{repo}/manifests/v1").body == index_manifest([])


def test_index_of_blobs(client, repo):
    # What build caches push: an index whose entries are layers and a configuration.
    blobs = [noise(200, "cache a"), noise(300, "cache b"), b'{"cache":true}']
    for blob in blobs:
        push_blob(client, repo, blob)
    entries = [descriptor(b, OCI_LAYER_GZIP) for b in blobs[:2]]
    entries.append(descriptor(blobs[2], "application/vnd.buildkit.cacheconfig.v0"))
    body = index_manifest(entries)
    push_manifest(client, repo, "cache", body, OCI_INDEX)
    assert client.get(f"/v2/{repo}/manifests/cache").body == body


def test_image_without_layers(client, repo):
    push_manifest(client, repo, "v1", small(client, repo))


def test_image_with_fields_beyond_the_specification(client, repo):
    body = small(client, repo, **{"org.example.custom": {"deep": [1, 2.5, None, "é", {"x": True}]}})
    push_manifest(client, repo, "v1", body)
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


def test_image_with_data_in_its_descriptors(client, repo):
    push_blob(client, repo, b"{}")
    empty = descriptor(b"{}", OCI_EMPTY, data="e30=")
    body = image_manifest(empty, [empty])
    push_manifest(client, repo, "v1", body)


def test_image_with_the_same_layer_twice(client, repo):
    for blob in (b"{}", b"layer"):
        push_blob(client, repo, blob)
    layer = descriptor(b"layer", OCI_LAYER)
    push_manifest(client, repo, "v1", image_manifest(descriptor(b"{}", OCI_EMPTY), [layer, layer, layer]))


@pytest.mark.parametrize("layer_type", [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
])
def test_image_with_layers_that_are_not_to_be_distributed_may_lack_them(client, repo, layer_type):
    push_blob(client, repo, b"{}")
    far = {"mediaType": layer_type, "digest": no_digest(), "size": 123456, "urls": ["https://example.com/x"]}
    body = image_manifest(descriptor(b"{}", OCI_EMPTY), [far])
    push_manifest(client, repo, "v1", body)
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


def test_artifact_of_any_media_types(client, repo):
    blob, config = noise(700, "chart"), b'{"name":"chart"}'
    for content in (blob, config):
        push_blob(client, repo, content)
    body = image_manifest(descriptor(config, "application/vnd.cncf.helm.config.v1+json"),
                          [descriptor(blob, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")])
    push_manifest(client, repo, "chart", body)
    assert client.get(f"/v2/{repo}/manifests/chart").body == body


@pytest.mark.parametrize("media_type", ["application/vnd.example.manifest.v1+json", "application/vnd.x",
                                        "text/x-thing", "application/vnd.oci.artifact.manifest.v1+json"])
def test_manifest_of_an_unknown_media_type_is_kept_as_it_is(client, repo, media_type):
    push_blob(client, repo, b"thing")
    body = encode({"mediaType": media_type, "blobs": [descriptor(b"thing")], "anything": [1, 2, 3]})
    push_manifest(client, repo, "v1", body, media_type)
    reply = client.get(f"/v2/{repo}/manifests/v1")
    assert reply.body == body
    assert reply.header("Content-Type") == media_type


def test_annotations_of_any_text_are_kept(client, repo):
    text = "tab\t quote\" slash\\ euro\u20ac emoji\U0001f600 line\u2028"
    body = small(client, repo, annotations={text: text, "": ""})
    push_manifest(client, repo, "v1", body)
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


# Missing children ----------------------------------------------------------------------------------


def check_child_unknown(client, repo, reply):
    assert reply.status == 404, reply
    assert set(reply.codes) == {"MANIFEST_BLOB_UNKNOWN"}
    check_absent(client, repo, "v1")


def test_manifest_without_its_config_is_refused(client, repo):
    push_blob(client, repo, b"layer")
    body = image_manifest(descriptor(b"config never pushed"), [descriptor(b"layer")])
    check_child_unknown(client, repo, put(client, repo, "v1", body))


def test_manifest_without_a_layer_is_refused(client, repo):
    for blob in (b"{}", b"layer"):
        push_blob(client, repo, blob)
    body = image_manifest(descriptor(b"{}"), [descriptor(b"layer"), descriptor(b"layer never pushed")])
    reply = put(client, repo, "v1", body)
    check_child_unknown(client, repo, reply)
    assert digest_of(b"layer never pushed") in reply.body.decode()


def test_index_without_one_of_its_manifests_is_refused(client, repo):
    image = push_image(client, repo)
    body = index_manifest([image.descriptor(), descriptor(b"manifest never pushed", OCI_MANIFEST)])
    check_child_unknown(client, repo, put(client, repo, "v1", body, OCI_INDEX))


def test_manifest_with_blobs_of_another_repository_is_refused(client, repo):
    image = push_image(client, repo + "-other")
    check_child_unknown(client, repo, put(client, repo, "v1", image.body))


def test_index_with_manifests_of_another_repository_is_refused(client, repo):
    image = push_image(client, repo + "-other")
    body = index_manifest([image.descriptor()])
    check_child_unknown(client, repo, put(client, repo, "v1", body, OCI_INDEX))


def test_manifest_is_taken_when_the_missing_blob_came(client, repo):
    push_blob(client, repo, b"{}")
    body = image_manifest(descriptor(b"{}"), [descriptor(b"late")])
    assert put(client, repo, "v1", body).status == 404
    push_blob(client, repo, b"late")
    assert put(client, repo, "v1", body).status == 201


def test_manifest_that_was_refused_does_not_move_a_tag(client, repo):
    image = push_image(client, repo, "v1")
    body = image_manifest(descriptor(b"never pushed"), [])
    assert put(client, repo, "v1", body).status == 404
    assert client.get(f"/v2/{repo}/manifests/v1").body == image.body


# Invalid manifests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"text"', b"1", b"{} {}", b"not json", b"\x00", b"\xff\xfe", b'{"a":"\xff"}',
    b"{'a': 1}", b'{"a":1,}', b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"<html></html>",
], ids=range(16))
def test_manifest_that_is_no_json_object_is_400(client, repo, body):
    reply = put(client, repo, "v1", body)
    assert reply.status == 400
    assert reply.codes == ["MANIFEST_INVALID"]
    check_absent(client, repo, "v1")


@pytest.mark.parametrize("change", [
    {"config": 1}, {"config": "x"}, {"config": []}, {"config": {"digest": "x", "size": 1}},
    {"config": {"mediaType": OCI_CONFIG, "digest": "sha256:bad", "size": 1}},
    {"config": {"mediaType": OCI_CONFIG, "digest": 5, "size": 1}},
    {"config": {"mediaType": OCI_CONFIG, "size": 1}},
    {"layers": {}}, {"layers": "x"}, {"layers": [1]}, {"layers": [{}]}, {"layers": [None]},
    {"layers": [{"mediaType": OCI_LAYER, "digest": no_digest(), "size": -1}]},
    {"layers": [{"mediaType": OCI_LAYER, "digest": no_digest(), "size": "1"}]},
    {"layers": [{"mediaType": OCI_LAYER, "digest": no_digest(), "size": 1.5}]},
    {"layers": [{"mediaType": OCI_LAYER, "digest": no_digest().upper(), "size": 1}]},
    {"subject": "x"}, {"subject": {"mediaType": OCI_MANIFEST, "digest": "x", "size": 1}},
    {"mediaType": 1}, {"annotations": []}, {"annotations": {"a": 1}}, {"artifactType": 1},
], ids=lambda c: json.dumps(c)[:60])
def test_manifest_with_fields_of_the_wrong_kind_is_400(client, repo, change):
    body = json.loads(small(client, repo))
    body.update(change)
    reply = put(client, repo, "v1", encode(body))
    assert reply.status == 400
    assert reply.codes == ["MANIFEST_INVALID"]
    check_absent(client, repo, "v1")


def test_manifest_of_schema_1_is_refused(client, repo):
    body = encode({"schemaVersion": 1, "name": repo, "tag": "v1", "architecture": "amd64", "fsLayers": [],
                   "history": [], "signatures": []})
    reply = put(client, repo, "v1", body, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    assert reply.status == 400
    assert reply.codes == ["MANIFEST_INVALID"]


# Size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_manifest_of_4_mib_is_taken(client, repo, chunked):
    body = sized(client, repo, MANIFEST_MAX)
    assert len(body) == MANIFEST_MAX
    assert put(client, repo, "v1", body, chunked=chunked).status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").body == body


@pytest.mark.parametrize("chunked", [False, True])
def test_manifest_over_4_mib_is_413(client, repo, chunked):
    body = sized(client, repo, MANIFEST_MAX + 1)
    assert put(client, repo, "v1", body, chunked=chunked).status == 413
    check_absent(client, repo, "v1")


def test_manifests_of_4_mib_by_many_at_once(server, client, repo):
    bodies = [sized(client, repo, MANIFEST_MAX - n) for n in range(6)]

    def push(n):
        with server.client() as c:
            return put(c, repo, f"v{n}", bodies[n], chunked=n % 2 == 0)

    assert [reply.status for reply in parallel([lambda n=n: push(n) for n in range(6)])] == [201] * 6
    for n, body in enumerate(bodies):
        assert client.get(f"/v2/{repo}/manifests/v{n}").body == body


@pytest.mark.parametrize("coding", ["Content-Length: 4194304", "Transfer-Encoding: chunked"])
def test_manifests_that_arrive_slowly_do_not_hold_up_others(server, client, repo, coding):
    body = small(client, repo)
    part = b" " * (3 << 20)
    if "chunked" in coding:
        part = b"%x\r\n" % len(part) + part
    with contextlib.ExitStack() as stack:
        for n in range(4):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            s.sendall(f"PUT /v2/{repo}/manifests/slow-{n} HTTP/1.1\r\nHost: x\r\n{coding}\r\n"
                      f"Content-Type: {OCI_MANIFEST}\r\n\r\n".encode())
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.send(part)
        start = time.monotonic()
        for n in range(3):
            assert put(client, repo, f"quick-{n}", body).status == 201
        assert time.monotonic() - start < 3


# With subject --------------------------------------------------------------------------------------


def test_subject_is_confirmed_with_oci_subject(client, repo, alg):
    subject = push_image(client, repo, "v1" if alg == "sha256" else None, alg=alg)
    artifact = push_artifact(client, repo, subject.descriptor(), "application/vnd.example", alg=alg)
    assert artifact.reply.header("OCI-Subject") == subject.digest


def test_subject_is_confirmed_when_pushed_by_tag(client, repo):
    subject = push_image(client, repo, "v1")
    artifact = push_artifact(client, repo, subject.descriptor(), "application/vnd.example", "sig")
    assert artifact.reply.header("OCI-Subject") == subject.digest


def test_subject_may_be_missing(client, repo):
    missing = {"mediaType": OCI_MANIFEST, "digest": no_digest(), "size": 123}
    artifact = push_artifact(client, repo, subject=missing, artifact_type="application/vnd.example")
    assert artifact.reply.status == 201
    assert artifact.reply.header("OCI-Subject") == no_digest()


def test_subject_of_an_index_is_confirmed(client, repo):
    subject = push_image(client, repo, "v1")
    body = index_manifest([], subject=subject.descriptor(), artifactType="application/vnd.example")
    reply = push_manifest(client, repo, digest_of(body), body, OCI_INDEX)
    assert reply.header("OCI-Subject") == subject.digest


def test_subject_absent_means_no_oci_subject(client, repo):
    assert put(client, repo, "v1", small(client, repo)).all("OCI-Subject") == []
