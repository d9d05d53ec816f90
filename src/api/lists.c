/* Lists: tags (end-8), referrers (end-12), and Docker's catalog of repositories.
 *
 * A list goes out in pages that end at so many entries or so many bytes, whichever comes first; a Link leads
 * on. A page stays in memory until its reader has taken it, and readers may be slow: what a long one takes is
 * claimed, short ones are not counted.
 */
#include <string.h>

#include "api/api_internal.h"

#define PAGE_FREE_BYTES  65536u        /* a page up to here is not claimed */
#define PAGE_BYTES_MAX   (256u << 10)  /* over it only for an entry that alone is larger */
#define PAGE_TAIL        sizeof "]}\n" /* what ends a page, and the NUL of its buffer */
#define DESCRIPTOR_BYTES 1024u         /* of a referrer: all but its annotations fits */

struct page {
    struct api *api;
    struct buf body;
    uint64_t claimed; /* bytes of the memory that lists share */
    uint64_t n, max;  /* entries in it; asked for */
    size_t room;      /* bytes that its entries may take by now */
    size_t missing;   /* for this entry there was no room */
    bool more;        /* a next page follows */
};

/* May an entry of up to so many bytes be added? ERR_EXISTS ends the walk: there is one more, and the page has
 * no place for it. */
static enum err page_takes(struct page *p, size_t bytes)
{
    if (p->n < p->max && p->body.err == ERR_OK && p->body.len + bytes <= p->room) {
        p->n++;
        return ERR_OK;
    }
    p->missing = bytes;
    return ERR_EXISTS;
}

static void page_release(struct page *p)
{
    if (p->claimed > 0)
        memory_release(p->api, &p->api->lists, p->claimed);
    p->claimed = 0;
}

/* Fill the page. walk adds the entries after those that are there already, and returns what page_takes says;
 * it is called again when more room was claimed: no reader of the catalogue is held while that takes time. */
static enum err page_fill(struct page *p, enum err (*walk)(void *list), void *list)
{
    enum err e;

    p->room = PAGE_FREE_BYTES - PAGE_TAIL;
    while ((e = walk(list)) == ERR_EXISTS) {
        size_t bytes = p->body.len + p->missing + PAGE_TAIL;

        if ((e = reply_built(p->api, &p->body)))
            break;
        /* The first entry of a page gets its room whatever it takes: else nobody would come past it. */
        p->more = p->n == p->max || (p->n > 0 && (p->claimed > 0 || bytes > PAGE_BYTES_MAX));
        if (p->more)
            break;
        if (bytes < PAGE_BYTES_MAX)
            bytes = PAGE_BYTES_MAX;
        page_release(p);
        if ((e = memory_claim(p->api, &p->api->lists, bytes)))
            return e;
        p->claimed = bytes;
        p->room = bytes - PAGE_TAIL;
        p->body.max = bytes - 1; /* what the buffer takes is at most one more */
    }
    return e;
}

static enum err page_send(struct page *p, struct http_res *res, const char *content_type)
{
    buf_str(&p->body, "]}\n");
    /* What was claimed and is not needed goes back before the slow part. */
    if (p->claimed > p->body.cap) {
        memory_release(p->api, &p->api->lists, p->claimed - p->body.cap);
        p->claimed = p->body.cap;
    }
    return reply_json(p->api, res, 200, content_type, &p->body);
}

static void page_end(struct page *p)
{
    buf_free(&p->body);
    page_release(p);
}

/* A page of names: of repositories, or of the tags of one. */
struct names {
    struct page page;
    const char *repo;
    char last[NAME_MAX_BYTES + 1]; /* of those before */
};

static enum err name_add(struct names *names, const char *name)
{
    struct page *p = &names->page;
    enum err e;

    /* Names of both kinds need no escaping: two quotes and a comma. */
    if ((e = page_takes(p, strlen(name) + 3)))
        return e;
    if (p->n > 1)
        buf_str(&p->body, ",");
    buf_json(&p->body, name);
    return str_copy(names->last, sizeof names->last, name);
}

static enum err add_repo(void *arg, const char *repo)
{
    return name_add(arg, repo);
}

static enum err walk_repos(void *list)
{
    struct names *names = list;
    struct page *p = &names->page;
    char after[NAME_MAX_BYTES + 1];

    memcpy(after, names->last, sizeof after); /* last moves on during the walk */
    return catalog_repo_foreach(registry_catalog(p->api->cfg.registry), after, p->max - p->n + 1, add_repo,
                                names);
}

enum err api_catalog(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct names names = { .page = { .api = api } };
    struct page *p = &names.page;
    enum err e;

    (void)call;
    if ((e = call_page(req, &p->max, names.last, sizeof names.last)))
        return e;
    buf_str(&p->body, "{\"repositories\":[");
    if (p->max > 0 && (e = page_fill(p, walk_repos, &names)))
        goto out;
    if (p->more) /* a repository name needs no escaping in a query */
        http_set_fmt(res, "Link", "</v2/_catalog?n=%llu&last=%s>; rel=\"next\"", (unsigned long long)p->max,
                     names.last);
    e = page_send(p, res, "application/json");
out:
    page_end(p);
    return e;
}

static enum err add_tag(void *arg, const struct catalog_tag *t)
{
    return name_add(arg, t->name);
}

static enum err walk_tags(void *list)
{
    struct names *names = list;
    struct page *p = &names->page;
    char after[NAME_MAX_BYTES + 1];

    memcpy(after, names->last, sizeof after);
    return catalog_tag_foreach(registry_catalog(p->api->cfg.registry), names->repo, after, p->max - p->n + 1,
                               add_tag, names);
}

enum err api_tags(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct names names = { .page = { .api = api }, .repo = call->repo };
    struct page *p = &names.page;
    enum err e;

    if ((e = call_page(req, &p->max, names.last, sizeof names.last)))
        return e;
    buf_fmt(&p->body, "{\"name\":\"%s\",\"tags\":[", call->repo);
    e = p->max > 0 ? page_fill(p, walk_tags, &names)
                   : catalog_repo_has(registry_catalog(api->cfg.registry), call->repo);
    if (e)
        goto out;
    if (p->more) /* nor does a tag */
        http_set_fmt(res, "Link", "</v2/%s/tags/list?n=%llu&last=%s>; rel=\"next\"", call->repo,
                     (unsigned long long)p->max, names.last);
    e = page_send(p, res, "application/json");
out:
    page_end(p);
    return e;
}

struct referrers {
    struct page page;
    const char *repo;
    struct digest subject;
    const char *type; /* only these; NULL: all */
    bool after;       /* begin after last */
    struct digest last;
};

static enum err add_referrer(void *arg, const struct catalog_manifest *m, const char *annotations)
{
    struct referrers *list = arg;
    struct page *p = &list->page;
    char digest[DIGEST_TEXT_MAX + 1];
    enum err e;

    if ((e = page_takes(p, DESCRIPTOR_BYTES + (annotations ? strlen(annotations) : 0))))
        return e;
    digest_format(&m->digest, digest);
    buf_str(&p->body, p->n > 1 ? ",{\"mediaType\":" : "{\"mediaType\":");
    buf_json(&p->body, m->media_type);
    buf_fmt(&p->body, ",\"digest\":\"%s\",\"size\":%llu", digest, (unsigned long long)m->size);
    if (m->artifact_type[0]) {
        buf_str(&p->body, ",\"artifactType\":");
        buf_json(&p->body, m->artifact_type);
    }
    if (annotations != NULL) {
        buf_str(&p->body, ",\"annotations\":");
        buf_str(&p->body, annotations);
    }
    buf_str(&p->body, "}");
    list->last = m->digest;
    list->after = true;
    return ERR_OK;
}

static enum err walk_referrers(void *arg)
{
    struct referrers *list = arg;
    struct page *p = &list->page;
    struct digest after = list->last;

    return catalog_referrer_foreach(registry_catalog(p->api->cfg.registry), list->repo, &list->subject,
                                    list->type, list->after ? &after : NULL, p->max - p->n + 1, add_referrer,
                                    list);
}

/* The next page keeps the filter. */
static enum err link_next(struct http_res *res, const struct referrers *list)
{
    char subject[DIGEST_TEXT_MAX + 1], last[DIGEST_TEXT_MAX + 1];
    struct buf url = { 0 };
    enum err e;

    digest_format(&list->subject, subject);
    digest_format(&list->last, last);
    buf_fmt(&url, "</v2/%s/referrers/%s?n=%llu&last=%s", list->repo, subject,
            (unsigned long long)list->page.max, last);
    if (list->type != NULL) {
        buf_str(&url, "&artifactType=");
        buf_percent(&url, list->type, "/");
    }
    buf_str(&url, ">; rel=\"next\"");
    e = reply_built(list->page.api, &url);
    if (e == ERR_OK)
        http_set(res, "Link", url.p);
    buf_free(&url);
    return e;
}

/* Spec: "Listing Referrers". An unknown repository or subject has an empty list: never a 404, which
 * would tell clients that there is no such API here. */
enum err api_referrers(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct referrers list = { .page = { .api = api }, .repo = call->repo };
    struct page *p = &list.page;
    char last[DIGEST_TEXT_MAX + 1], type[MEDIA_TYPE_MAX + 1];
    enum err e;

    if ((e = call_digest(call, call->last, &list.subject)) ||
        (e = call_page(req, &p->max, last, sizeof last)))
        return e;
    list.after = last[0] != '\0';
    if (list.after && (e = call_digest(call, last, &list.last)))
        return e;
    e = http_query_get(req, "artifactType", type, sizeof type);
    if (e && e != ERR_NOT_FOUND)
        return ERR_INVALID;
    list.type = e == ERR_OK ? type : NULL;
    buf_str(&p->body, "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_INDEX "\",\"manifests\":[");
    if (p->max > 0 && (e = page_fill(p, walk_referrers, &list)))
        goto out;
    if (p->more && (e = link_next(res, &list)))
        goto out;
    if (list.type != NULL)
        http_set(res, "OCI-Filters-Applied", "artifactType");
    e = page_send(p, res, MT_OCI_INDEX);
out:
    page_end(p);
    return e;
}
