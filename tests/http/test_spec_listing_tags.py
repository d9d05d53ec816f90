"""Distribution-spec, "Listing Tags" (end-8a, end-8b)."""

import pytest
from harness import (OCI_INDEX, descriptor, digest_of, encode, image_manifest, index_manifest, no_digest,
                     push_blob, push_image, push_manifest)

PAGE_MAX = 256 << 10  # bytes: a longer list comes in pages


def push_tags(client, repo, tags):
    """Set all these tags, as few requests as that takes."""
    body = index_manifest([])
    tags = list(tags)
    for n in range(0, len(tags), 20):
        query = "?" + "&".join(f"tag={t}" for t in tags[n:n + 20])
        push_manifest(client, repo, digest_of(body), body, OCI_INDEX, query)


def tags_of(reply):
    assert reply.status == 200, reply
    return reply.json()["tags"]


def test_listing_tags_gives_the_name_and_the_tags(client, repo):
    push_image(client, repo, "v1")
    push_image(client, repo, "v2")
    reply = client.get(f"/v2/{repo}/tags/list")
    assert reply.status == 200
    assert reply.json() == {"name": repo, "tags": ["v1", "v2"]}
    assert reply.header("Content-Type").split(";")[0] == "application/json"


def test_listing_tags_of_an_unknown_repository_is_404(client):
    reply = client.get("/v2/no/such/repository/tags/list")
    assert reply.status == 404
    assert reply.codes == ["NAME_UNKNOWN"]


def test_listing_tags_of_a_repository_without_tags_is_empty(client, repo):
    push_blob(client, repo, b"only a blob")
    assert client.get(f"/v2/{repo}/tags/list").json() == {"name": repo, "tags": []}


def test_listing_tags_after_the_last_was_deleted_is_empty(client, repo):
    push_image(client, repo, "v1")
    assert client.delete(f"/v2/{repo}/manifests/v1").status == 202
    assert client.get(f"/v2/{repo}/tags/list").json() == {"name": repo, "tags": []}


def test_listing_tags_is_ordered_bytewise(client, repo):
    tags = ["b", "a", "B", "A", "_", "1", "10", "2", "a.b", "a-b", "a_b", "ab", "a0", "latest", "Z"]
    push_tags(client, repo, tags)
    assert tags_of(client.get(f"/v2/{repo}/tags/list")) == sorted(tags)


def test_listing_tags_gives_all_without_n(client, repo):
    tags = [f"t{n:04}" for n in range(300)]
    push_tags(client, repo, tags)
    reply = client.get(f"/v2/{repo}/tags/list")
    assert tags_of(reply) == tags
    assert reply.next is None


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_listing_tags_n_limits_the_answer(client, repo, n):
    push_tags(client, repo, "abcde")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?n={n}")) == list("abcde")[:n]


@pytest.mark.parametrize("n", [5, 6, 1000, 10000, 2147483647, 9223372036854775807])
def test_listing_tags_n_beyond_the_end_gives_all_without_link(client, repo, n):
    push_tags(client, repo, "abcde")
    reply = client.get(f"/v2/{repo}/tags/list?n={n}")
    assert tags_of(reply) == list("abcde")
    assert reply.next is None


def test_listing_tags_n_of_0_is_empty_without_link(client, repo):
    push_tags(client, repo, "abc")
    for query in ("n=0", "n=0&last=a", "last=a&n=0"):
        reply = client.get(f"/v2/{repo}/tags/list?{query}")
        assert tags_of(reply) == []
        assert reply.next is None


@pytest.mark.parametrize("n", ["-1", "x", "1x", "", "1.5", "0x10", "%20", "99999999999999999999999999"])
def test_listing_tags_n_that_is_no_count_is_400(client, repo, n):
    push_tags(client, repo, "abc")
    reply = client.get(f"/v2/{repo}/tags/list?n={n}")
    # A number too large to hold asks for more than there is, which may be taken as such.
    assert reply.status == 400 or (n.startswith("9") and tags_of(reply) == list("abc"))


def test_listing_tags_link_leads_to_the_next_page(client, repo):
    push_tags(client, repo, "abcde")
    reply = client.get(f"/v2/{repo}/tags/list?n=2")
    assert tags_of(reply) == ["a", "b"]
    assert reply.next.startswith(f"/v2/{repo}/tags/list?")
    assert tags_of(client.get(reply.next)) == ["c", "d"]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_listing_tags_pages_have_each_tag_once(client, repo, n):
    tags = [f"t{i:02}" for i in range(10)]
    push_tags(client, repo, tags)
    pages = [tags_of(reply) for reply in client.pages(f"/v2/{repo}/tags/list?n={n}")]
    assert sum(pages, []) == tags
    assert {len(p) for p in pages[:-1]} <= {n}
    assert pages[-1]  # Link is given only when more follows


@pytest.mark.parametrize("query", ["", "?n=10000"], ids=["without n", "with n"])
def test_listing_tags_pages_are_bounded_in_bytes_too(client, repo, query):
    tags = [f"{n:04}" + "t" * 124 for n in range(2200)]
    push_tags(client, repo, tags)
    replies = list(client.pages(f"/v2/{repo}/tags/list{query}"))
    assert [len(r.body) <= PAGE_MAX for r in replies] == [True, True]
    assert len(replies[0].body) > PAGE_MAX - 200
    assert sum(map(tags_of, replies), []) == tags


def test_listing_tags_last_begins_after_that_tag(client, repo):
    push_tags(client, repo, "abcde")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?n=2&last=b")) == ["c", "d"]
    assert tags_of(client.get(f"/v2/{repo}/tags/list?last=b&n=2")) == ["c", "d"]


def test_listing_tags_last_works_without_n(client, repo):
    push_tags(client, repo, "abcde")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?last=b")) == ["c", "d", "e"]


def test_listing_tags_last_need_not_exist(client, repo):
    push_tags(client, repo, "bdf")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?last=c")) == ["d", "f"]
    assert tags_of(client.get(f"/v2/{repo}/tags/list?last=A")) == ["b", "d", "f"]


def test_listing_tags_last_at_the_end_is_empty_without_link(client, repo):
    push_tags(client, repo, "abc")
    for last in ("c", "zzz"):
        reply = client.get(f"/v2/{repo}/tags/list?n=2&last={last}")
        assert tags_of(reply) == []
        assert reply.next is None


def test_listing_tags_last_is_empty_at_the_beginning(client, repo):
    push_tags(client, repo, "abc")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?n=2&last=")) == ["a", "b"]


@pytest.mark.parametrize("last", ["x" * 300, "%00", "%zz", "%C3%A9", "a/b", "."])
def test_listing_tags_last_that_is_no_tag_is_refused_or_just_a_place_in_the_order(client, repo, last):
    push_tags(client, repo, "abc")
    reply = client.get(f"/v2/{repo}/tags/list?last={last}")
    assert reply.status == 400 or set(tags_of(reply)) <= set("abc")


def test_listing_tags_goes_on_when_the_last_was_deleted_meanwhile(client, repo):
    push_tags(client, repo, "abcd")
    reply = client.get(f"/v2/{repo}/tags/list?n=2")
    client.delete(f"/v2/{repo}/manifests/b")
    assert tags_of(client.get(reply.next)) == ["c", "d"]


def test_listing_tags_other_parameters_are_ignored(client, repo):
    push_tags(client, repo, "abc")
    assert tags_of(client.get(f"/v2/{repo}/tags/list?page=2&size=1")) == ["a", "b", "c"]


def test_listing_tags_knows_a_tag_at_once(client, repo):
    body = encode({"seed": repo})
    push_blob(client, repo, body)
    push_manifest(client, repo, "now", image_manifest(descriptor(body), []))
    assert tags_of(client.get(f"/v2/{repo}/tags/list")) == ["now"]
    assert client.get(f"/v2/{repo}/manifests/{no_digest()}").status == 404


def test_listing_tags_of_another_repository_are_its_own(client, repo):
    push_tags(client, repo, "ab")
    push_tags(client, repo + "/sub", "cd")
    assert tags_of(client.get(f"/v2/{repo}/tags/list")) == ["a", "b"]
    assert tags_of(client.get(f"/v2/{repo}/sub/tags/list")) == ["c", "d"]
