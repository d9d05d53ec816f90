"""What the clients in use send, request by request, where it is more or other than the specification's
examples."""

import pytest
from harness import (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY, OCI_INDEX,
                     OCI_MANIFEST, OCTETS, descriptor, digest_of, encode, exchange, image_manifest,
                     index_manifest, local, noise, push_artifact, push_blob, push_image, push_manifest,
                     with_query)

DOCKER_ACCEPT = [("Accept", t) for t in (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX,
                                         "application/vnd.docker.distribution.manifest.v1+prettyjws",
                                         "application/json")]


def head_is_404(client, target, headers=()):
    reply = client.head(target, headers)
    assert reply.status == 404
    assert reply.body == b""


def test_docker_pushes_a_blob_with_one_streamed_patch_and_an_empty_put(client, repo):
    data = noise(100000, "docker")
    head_is_404(client, f"/v2/{repo}/blobs/{digest_of(data)}")
    begun = client.post(f"/v2/{repo}/blobs/uploads/", headers={"Content-Length": "0"})
    pieces = [data[:32768], data[32768:65536], data[65536:]]
    patched = client.patch(local(begun.location), pieces, chunked=True)
    assert patched.status == 202
    assert patched.header("Range") == f"0-{len(data) - 1}"
    assert patched.header("Docker-Upload-UUID") == begun.header("Docker-Upload-UUID")
    done = client.put(with_query(patched.location, digest=digest_of(data).replace(":", "%3A")),
                      headers={"Content-Length": "0"})
    assert done.status == 201
    assert client.head(f"/v2/{repo}/blobs/{digest_of(data)}").header("Content-Length") == str(len(data))


def test_skopeo_pushes_a_blob_with_one_patch_of_known_length(client, repo):
    data = noise(100000, "skopeo")
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    patched = client.patch(local(begun.location), data, {"Content-Type": OCTETS})
    assert patched.status == 202
    done = client.put(with_query(patched.location, digest=digest_of(data).replace(":", "%3A")), b"",
                      {"Content-Type": OCTETS})
    assert done.status == 201


def test_containerd_pushes_a_blob_with_the_put(client, repo):
    data = noise(100000, "containerd")
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    done = client.put(with_query(begun.location, digest=digest_of(data).replace(":", "%3A")), data,
                      {"Content-Type": OCTETS})
    assert done.status == 201
    assert done.digest == digest_of(data)


@pytest.mark.parametrize("query", ["from={source}&mount={digest}", "mount={digest}&from={source}",
                                   "from={source}&mount={digest}&origin=127.0.0.1%3A5000"])
def test_crane_and_docker_mount_with_percent_encoded_parameters(client, repo, query):
    data = noise(1000, query)
    source = f"{repo}/src"
    push_blob(client, source, data)
    query = query.format(source=source.replace("/", "%2F"), digest=digest_of(data).replace(":", "%3A"))
    reply = client.post(f"/v2/{repo}/blobs/uploads/?{query}")
    assert reply.status == 201
    assert client.get(f"/v2/{repo}/blobs/{digest_of(data)}").body == data


def test_status_at_the_first_location_counts_later_patches(client, repo):
    first = local(client.post(f"/v2/{repo}/blobs/uploads/").location)
    target = first
    for _ in range(3):
        target = local(client.patch(target, b"x" * 100).location)
    reply = client.get(first)
    assert reply.status == 204
    assert reply.header("Range") == "0-299"


def test_head_before_put_of_a_manifest_is_a_404_without_a_body(client, repo):
    push_blob(client, repo, b"{}")
    body = image_manifest(descriptor(b"{}", OCI_EMPTY), [])
    head_is_404(client, f"/v2/{repo}/manifests/v1", DOCKER_ACCEPT)
    head_is_404(client, f"/v2/{repo}/manifests/{digest_of(body)}", DOCKER_ACCEPT)
    push_manifest(client, repo, "v1", body)
    reply = client.head(f"/v2/{repo}/manifests/v1", DOCKER_ACCEPT)
    assert reply.status == 200
    assert reply.digest == digest_of(body)


def test_head_404_has_nothing_after_its_head_on_the_wire(server, client, repo):
    push_blob(client, repo, b"the repository is there")
    target = f"/v2/{repo}/manifests/none"
    got = exchange(server, f"HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, blank, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ") and blank and rest == b""


def test_docker_pulls_with_six_accept_lines(client, repo):
    image = push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/v1", DOCKER_ACCEPT)
    assert reply.status == 200
    assert reply.body == image.body


def test_containerd_pulls_with_one_accept_list_and_ns(client, repo):
    image = push_image(client, repo, "v1")
    accept = ", ".join(v for _, v in DOCKER_ACCEPT) + ", */*"
    for method, target in (("HEAD", "manifests/v1"), ("GET", f"manifests/{image.digest}"),
                           ("GET", f"blobs/{image.blobs[0]}")):
        reply = client.request(method, f"/v2/{repo}/{target}?ns=docker.io", headers={"Accept": accept})
        assert reply.status == 200


def test_docker_manifest_push_of_a_list(client, repo):
    entries = []
    for arch in ("amd64", "arm64"):
        config, layer = encode({"architecture": arch, "os": "linux"}), noise(300, arch)
        for blob in (config, layer):
            push_blob(client, repo, blob)
        body = image_manifest(descriptor(config, DOCKER_CONFIG), [descriptor(layer, DOCKER_LAYER)],
                              DOCKER_MANIFEST)
        reply = push_manifest(client, repo, arch, body, DOCKER_MANIFEST)
        assert reply.header("Docker-Distribution-Api-Version") == "registry/2.0"
        entries.append(descriptor(body, DOCKER_MANIFEST, platform={"architecture": arch, "os": "linux"}))
    push_manifest(client, repo, "v1", index_manifest(entries, DOCKER_LIST), DOCKER_LIST)
    assert client.get(f"/v2/{repo}/manifests/v1", DOCKER_ACCEPT).json()["manifests"] == entries


def test_crane_lists_with_a_large_n_and_podman_goes_on_with_last(client, repo):
    for tag in ("a", "b", "c"):
        push_manifest(client, repo, tag, index_manifest([]), OCI_INDEX)
    assert client.get(f"/v2/{repo}/tags/list?n=1000").json()["tags"] == ["a", "b", "c"]
    assert client.get(f"/v2/{repo}/tags/list?last=c").json()["tags"] == []
    assert client.get("/v2/_catalog?n=1000").status == 200


def test_cosign_looks_for_referrers_and_its_own_tags(client, repo):
    image = push_image(client, repo, "v1")
    signature = push_artifact(client, repo, image.descriptor(),
                              "application/vnd.dev.cosign.artifact.sig.v1+json")
    listed = client.get(f"/v2/{repo}/referrers/{image.digest}").json()["manifests"]
    assert [d["digest"] for d in listed] == [signature.digest]
    for suffix in ("", ".sig", ".att", ".sbom"):
        assert client.get(f"/v2/{repo}/manifests/{image.digest.replace(':', '-')}{suffix}").status == 404


def test_clients_that_do_not_ping_first_are_served(server, repo):
    with server.client() as fresh:
        image = push_image(fresh, repo, "v1")
        assert fresh.get(f"/v2/{repo}/manifests/v1").body == image.body


def test_lazy_pullers_ask_for_several_ranges(client, repo):
    data = noise(100000, "lazy")
    digest = push_blob(client, repo, data)
    reply = client.get(f"/v2/{repo}/blobs/{digest}", {"Range": "bytes=99000-99999,0-99,50000-50099"})
    assert reply.status == 206
    assert reply.header("Content-Type").startswith("multipart/byteranges")
    for first, last in ((0, 99), (50000, 50099), (99000, 99999)):
        assert data[first:last + 1] in reply.body


@pytest.mark.parametrize("target", ["/v2/", "/v2/{repo}/manifests/v1"])
def test_headers_of_proxies_and_tracers_are_no_matter(client, repo, target):
    push_image(client, repo, "v1")
    headers = {"User-Agent": "docker/20.10", "Traceparent": "00-0-0-01", "X-Forwarded-For": "10.0.0.1",
               "X-Forwarded-Proto": "https", "Accept-Encoding": "gzip, zstd", "Connection": "keep-alive"}
    reply = client.get(target.format(repo=repo), headers)
    assert reply.status == 200
    assert reply.all("Content-Encoding") == []
