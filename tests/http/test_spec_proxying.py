"""Distribution-spec, "Registry Proxying": the ns parameter."""

import pytest
from harness import no_digest, push_image


@pytest.mark.parametrize("ns", ["docker.io", "registry.example.com", "registry.example.com:5000",
                                "localhost:5000"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_proxying_ns_is_answered_with_oci_namespace(client, repo, method, ns):
    image = push_image(client, repo, "v1")
    for target in ("manifests/v1", f"manifests/{image.digest}", f"blobs/{image.blobs[0]}"):
        reply = client.request(method, f"/v2/{repo}/{target}?ns={ns}")
        assert reply.status == 200
        assert reply.header("OCI-Namespace") == ns


def test_proxying_ns_changes_nothing_else(client, repo):
    image = push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/v1?ns=docker.io").body == image.body
    assert client.get(f"/v2/{repo}/blobs/{image.blobs[1]}?ns=docker.io").body == image.layers[0]
    assert client.get(f"/v2/{repo}/manifests/none?ns=docker.io").status == 404
    assert client.head(f"/v2/{repo}/blobs/{no_digest()}?ns=docker.io").status == 404


def test_proxying_ns_absent_means_no_oci_namespace(client, repo):
    push_image(client, repo, "v1")
    assert client.get(f"/v2/{repo}/manifests/v1").all("OCI-Namespace") == []


@pytest.mark.parametrize("ns", ["a%0d%0aX-Injected:%20yes", "a%0aX-Injected:%20yes", "", "%00", "a%20b",
                                "x" * 3000, "a/b", "%C3%A9"])
def test_proxying_ns_that_is_no_host_is_not_repeated(client, repo, ns):
    image = push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/manifests/v1?ns={ns}")
    assert reply.status in (200, 400)
    assert reply.all("OCI-Namespace") == []
    assert reply.all("X-Injected") == []
    if reply.status == 200:
        assert reply.body == image.body


def test_proxying_ns_works_with_ranges(client, repo):
    image = push_image(client, repo, "v1")
    reply = client.get(f"/v2/{repo}/blobs/{image.blobs[1]}?ns=docker.io", {"Range": "bytes=10-19"})
    assert reply.status == 206
    assert reply.body == image.layers[0][10:20]
