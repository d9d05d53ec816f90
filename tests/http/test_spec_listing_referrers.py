"""Distribution-spec, "Listing Referrers" (end-12a, end-12b)."""

import re
import socket

import pytest
from harness import (DOCKER_CONFIG, DOCKER_MANIFEST, MANIFEST_MAX, OCI_CONFIG, OCI_EMPTY, OCI_INDEX,
                     OCI_MANIFEST, Server, descriptor, digest_of, image_manifest, index_manifest, no_digest,
                     push_artifact, push_blob, push_image, push_manifest)

SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1+json"

PAGE_MAX = 256 << 10  # bytes: a longer list comes in pages


@pytest.fixture
def subject(client, repo):
    return push_image(client, repo, "subject")


def referrers(client, repo, digest, query=""):
    """The descriptors of the list, all pages."""
    entries = []
    for reply in client.pages(f"/v2/{repo}/referrers/{digest}{query}"):
        check_list(reply)
        entries += reply.json()["manifests"]
    return entries


def check_list(reply):
    assert reply.status == 200, reply
    assert reply.header("Content-Type") == OCI_INDEX
    body = reply.json()
    assert body["schemaVersion"] == 2
    assert body["mediaType"] == OCI_INDEX
    assert isinstance(body["manifests"], list)


def by_digest(entries):
    found = {e["digest"]: e for e in entries}
    assert len(found) == len(entries), "an entry comes twice"
    return found


# Empty lists ---------------------------------------------------------------------------------------


def test_listing_referrers_of_nothing_is_an_empty_index(client, repo, subject, alg):
    for digest in (subject.digest, no_digest(alg)):
        reply = client.get(f"/v2/{repo}/referrers/{digest}")
        check_list(reply)
        assert reply.json()["manifests"] == []
        assert reply.next is None


def test_listing_referrers_of_an_unknown_repository_is_an_empty_index(client):
    reply = client.get(f"/v2/no/such/repository/referrers/{no_digest()}")
    check_list(reply)
    assert reply.json()["manifests"] == []


@pytest.mark.parametrize("digest", ["sha256:bad", "x", "latest", "sha256:" + "0" * 63, "sha256:" + "A" * 64])
def test_listing_referrers_of_a_malformed_digest_is_400(client, repo, subject, digest):
    reply = client.get(f"/v2/{repo}/referrers/{digest}")
    assert reply.status == 400
    assert reply.codes == ["DIGEST_INVALID"]


# Descriptors ---------------------------------------------------------------------------------------


def test_listing_referrers_describes_each(client, repo, subject):
    artifact = push_artifact(client, repo, subject.descriptor(), SBOM)
    assert referrers(client, repo, subject.digest) == [{
        "mediaType": OCI_MANIFEST,
        "digest": artifact.digest,
        "size": len(artifact.body),
        "artifactType": SBOM,
    }]


def test_listing_referrers_by_each_algorithm(client, repo, alg):
    subject = push_image(client, repo, alg=alg)
    artifact = push_artifact(client, repo, subject.descriptor(), SBOM, alg=alg)
    assert [e["digest"] for e in referrers(client, repo, subject.digest)] == [artifact.digest]


def test_listing_referrers_artifact_type_of_an_image_is_that_of_its_config(client, repo, subject):
    image = push_image(client, repo, seed="referrer", subject=subject.descriptor())
    entry, = referrers(client, repo, subject.digest)
    assert entry["digest"] == image.digest
    assert entry["artifactType"] == OCI_CONFIG


def test_listing_referrers_empty_artifact_type_of_an_image_is_that_of_its_config(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), "")
    entry, = referrers(client, repo, subject.digest)
    assert entry["artifactType"] == OCI_EMPTY


def test_listing_referrers_includes_indexes(client, repo, subject):
    body = index_manifest([], subject=subject.descriptor(), artifactType=SBOM, annotations={"a": "b"})
    push_manifest(client, repo, digest_of(body), body, OCI_INDEX)
    assert referrers(client, repo, subject.digest) == [{
        "mediaType": OCI_INDEX, "digest": digest_of(body), "size": len(body), "artifactType": SBOM,
        "annotations": {"a": "b"},
    }]


@pytest.mark.parametrize("more", [{}, {"artifactType": ""}], ids=["missing", "empty"])
def test_listing_referrers_index_without_artifact_type_has_none(client, repo, subject, more):
    body = index_manifest([], subject=subject.descriptor(), **more)
    push_manifest(client, repo, digest_of(body), body, OCI_INDEX)
    entry, = referrers(client, repo, subject.digest)
    assert "artifactType" not in entry


def test_listing_referrers_includes_docker_manifests(client, repo, subject):
    push_blob(client, repo, b"{}")
    body = image_manifest(descriptor(b"{}", DOCKER_CONFIG), [], DOCKER_MANIFEST, subject=subject.descriptor())
    reply = push_manifest(client, repo, digest_of(body), body, DOCKER_MANIFEST)
    assert reply.header("OCI-Subject") == subject.digest
    entry, = referrers(client, repo, subject.digest)
    assert entry["mediaType"] == DOCKER_MANIFEST
    assert entry["artifactType"] == DOCKER_CONFIG


def test_listing_referrers_includes_all_annotations(client, repo, subject):
    annotations = {"org.opencontainers.image.created": "2022-01-01T14:42:55Z",
                   "org.example.text": "quote\" slash\\ tab\t line\n euro\u20ac emoji\U0001f600", "empty": ""}
    push_artifact(client, repo, subject.descriptor(), SBOM, annotations=annotations)
    entry, = referrers(client, repo, subject.digest)
    assert entry["annotations"] == annotations


def test_listing_referrers_counts_a_manifest_once(client, repo, subject):
    for reference in (None, "tag-1", "tag-2"):
        push_artifact(client, repo, subject.descriptor(), SBOM, reference)
    assert len(referrers(client, repo, subject.digest)) == 1


def test_listing_referrers_of_a_subject_that_is_missing(client, repo):
    missing = {"mediaType": OCI_MANIFEST, "digest": no_digest(digit="a"), "size": 123}
    artifact = push_artifact(client, repo, missing, SBOM)
    assert [e["digest"] for e in referrers(client, repo, missing["digest"])] == [artifact.digest]


def test_listing_referrers_of_a_subject_pushed_later(client, repo):
    push_blob(client, repo, b"{}")
    later = image_manifest(descriptor(b"{}", OCI_EMPTY), [], annotations={"of": repo})
    artifact = push_artifact(client, repo, descriptor(later, OCI_MANIFEST), SBOM)
    push_manifest(client, repo, "later", later)
    assert [e["digest"] for e in referrers(client, repo, digest_of(later))] == [artifact.digest]


def test_listing_referrers_of_a_referrer(client, repo, subject):
    sbom = push_artifact(client, repo, subject.descriptor(), SBOM)
    signature = push_artifact(client, repo, sbom.descriptor(), SIGNATURE)
    assert [e["digest"] for e in referrers(client, repo, sbom.digest)] == [signature.digest]
    assert [e["digest"] for e in referrers(client, repo, subject.digest)] == [sbom.digest]


def test_listing_referrers_are_those_of_the_repository(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    other = push_image(client, repo + "-other", "subject")
    assert other.digest == subject.digest
    assert referrers(client, repo + "-other", subject.digest) == []


def test_listing_referrers_forgets_a_deleted_one(client, repo, subject):
    kept = push_artifact(client, repo, subject.descriptor(), SBOM)
    gone = push_artifact(client, repo, subject.descriptor(), SIGNATURE)
    assert client.delete(f"/v2/{repo}/manifests/{gone.digest}").status == 202
    assert [e["digest"] for e in referrers(client, repo, subject.digest)] == [kept.digest]


def test_listing_referrers_stays_when_the_subject_was_deleted(client, repo, subject):
    artifact = push_artifact(client, repo, subject.descriptor(), SBOM)
    assert client.delete(f"/v2/{repo}/manifests/{subject.digest}").status == 202
    assert [e["digest"] for e in referrers(client, repo, subject.digest)] == [artifact.digest]


# Filter (end-12b) ----------------------------------------------------------------------------------


def test_filtering_referrers_gives_only_that_type_and_says_so(client, repo, subject):
    sbom = push_artifact(client, repo, subject.descriptor(), SBOM)
    push_artifact(client, repo, subject.descriptor(), SIGNATURE)
    reply = client.get(f"/v2/{repo}/referrers/{subject.digest}?artifactType={SBOM}")
    check_list(reply)
    assert [e["digest"] for e in reply.json()["manifests"]] == [sbom.digest]
    assert reply.header("OCI-Filters-Applied") == "artifactType"


def test_filtering_referrers_without_a_match_is_empty_and_filtered(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    reply = client.get(f"/v2/{repo}/referrers/{subject.digest}?artifactType=application/vnd.example.none")
    check_list(reply)
    assert reply.json()["manifests"] == []
    assert reply.header("OCI-Filters-Applied") == "artifactType"


@pytest.mark.parametrize("form", [
    SIGNATURE, SIGNATURE.replace("+", "%2B"), SIGNATURE.replace("/", "%2F"),
    SIGNATURE.replace("/", "%2f").replace("+", "%2b"),
])
def test_filtering_referrers_takes_plain_and_percent_encoded_types(client, repo, subject, form):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    signature = push_artifact(client, repo, subject.descriptor(), SIGNATURE)
    entries = referrers(client, repo, subject.digest, f"?artifactType={form}")
    assert [e["digest"] for e in entries] == [signature.digest]


def test_filtering_referrers_compares_the_type_of_the_config_too(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    image = push_image(client, repo, seed="referrer", subject=subject.descriptor())
    entries = referrers(client, repo, subject.digest, f"?artifactType={OCI_CONFIG.replace('+', '%2B')}")
    assert [e["digest"] for e in entries] == [image.digest]


def test_filtering_referrers_was_not_done_without_the_parameter(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    reply = client.get(f"/v2/{repo}/referrers/{subject.digest}")
    assert reply.all("OCI-Filters-Applied") == []


def test_filtering_referrers_is_about_whole_types(client, repo, subject):
    push_artifact(client, repo, subject.descriptor(), SBOM)
    for part in ("application/vnd.example", "sbom", SBOM + "x", SBOM[:-1], "*", "%25"):
        assert referrers(client, repo, subject.digest, f"?artifactType={part}") == []


# Pages ---------------------------------------------------------------------------------------------


def test_listing_referrers_many_are_all_there(client, repo, subject):
    pushed = {push_artifact(client, repo, subject.descriptor(), SBOM, annotations={"n": str(n)}).digest
              for n in range(50)}
    assert set(by_digest(referrers(client, repo, subject.digest))) == pushed


def test_listing_referrers_pages_stay_within_the_size_of_a_manifest(client, repo, subject):
    pushed = set()
    for n in range(5):
        artifact_type = SBOM if n % 2 else SIGNATURE
        big = {"big": str(n) * 1500000}
        pushed.add(push_artifact(client, repo, subject.descriptor(), artifact_type, annotations=big).digest)
    replies = list(client.pages(f"/v2/{repo}/referrers/{subject.digest}"))
    assert len(replies) > 1
    for reply in replies:
        check_list(reply)
        assert len(reply.body) <= MANIFEST_MAX
        assert reply.json()["manifests"]
    entries = sum((reply.json()["manifests"] for reply in replies), [])
    assert set(by_digest(entries)) == pushed


def test_filtering_referrers_holds_on_every_page(client, repo, subject):
    signatures = set()
    for n in range(6):
        artifact_type = SBOM if n % 2 else SIGNATURE
        artifact = push_artifact(client, repo, subject.descriptor(), artifact_type,
                                 annotations={"big": str(n) * 1800000})
        if artifact_type == SIGNATURE:
            signatures.add(artifact.digest)
    query = "?artifactType=" + SIGNATURE.replace("+", "%2B")
    replies = list(client.pages(f"/v2/{repo}/referrers/{subject.digest}{query}"))
    assert len(replies) > 1
    for reply in replies:
        assert reply.header("OCI-Filters-Applied") == "artifactType"
        assert {e["artifactType"] for e in reply.json()["manifests"]} <= {SIGNATURE}
    assert set(by_digest(sum((r.json()["manifests"] for r in replies), []))) == signatures


def test_listing_referrers_ends_a_page_at_so_many_bytes_and_reads_no_further(server, client, repo, subject):
    pushed = {push_artifact(client, repo, subject.descriptor(), SBOM,
                            annotations={"n": str(n), "big": "x" * 100000}).digest for n in range(40)}
    before = bytes_read(server)
    page = client.get(f"/v2/{repo}/referrers/{subject.digest}")
    assert bytes_read(server) - before < 1000000
    check_list(page)
    assert len(page.body) <= PAGE_MAX and len(page.json()["manifests"]) == 2
    assert set(by_digest(referrers(client, repo, subject.digest))) == pushed
    # Together with n the smaller of the two counts.
    sizes = [len(r.json()["manifests"]) for r in client.pages(f"/v2/{repo}/referrers/{subject.digest}?n=1")]
    assert sizes == [1] * 40


def bytes_read(server):
    with open(f"/proc/{server.pid}/io") as f:
        return int(re.search(r"rchar: (\d+)", f.read())[1])


def slow_reader(server, target):
    """A client that asks and then takes nothing more than what says that the answer is on its way."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(30)
    s.connect(("127.0.0.1", server.port))
    s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert s.recv(12) == b"HTTP/1.1 200"
    return s


def test_listing_referrers_to_slow_readers_stays_within_the_memory_for_it(tmp_path, repo):
    with Server(tmp_path, env={"BERTH_LIMITS_MANIFEST_MEMORY": "4M"}) as server, server.client() as client:
        subject = push_image(client, repo, "subject")
        push_artifact(client, repo, subject.descriptor(), SBOM, annotations={"big": "x" * 3900000})
        target = f"/v2/{repo}/referrers/{subject.digest}"
        # It is larger than the half of the memory that lists have: it goes out alone.
        with slow_reader(server, target):
            reply = client.get(target, faults=True)
            assert reply.status == 503
            assert reply.header("Retry-After")
            # Nothing else is held up.
            assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["subject"]
            assert client.get(f"/v2/{repo}/referrers/{no_digest()}").status == 200
            large = image_manifest(descriptor(b"{}", OCI_EMPTY), [], annotations={"big": "y" * 1000000})
            push_manifest(client, repo, "large", large)
        check_list(client.get(target))
        # Readers that left give back what they had.
        for _ in range(3):
            slow_reader(server, target).close()
            check_list(client.get(target))


# The older way -------------------------------------------------------------------------------------


def test_referrers_tag_schema_is_left_to_clients(client, repo, subject):
    # Clients that look for the tag find nothing: they have no need to, the API is there.
    push_artifact(client, repo, subject.descriptor(), SBOM)
    tag = subject.digest.replace(":", "-")
    assert client.get(f"/v2/{repo}/manifests/{tag}").status == 404
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["subject"]


def test_referrers_tag_schema_tags_can_be_pushed(client, repo, subject):
    for suffix in ("", ".sig", ".att", ".sbom"):
        tag = subject.digest.replace(":", "-") + suffix
        push_manifest(client, repo, tag, index_manifest([subject.descriptor()]), OCI_INDEX)
        assert client.get(f"/v2/{repo}/manifests/{tag}").status == 200
