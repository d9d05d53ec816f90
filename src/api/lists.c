/* Lists: tags (end-8), referrers (end-12), and Docker's catalog of repositories.
 */
#include <string.h>

#include "api/api_internal.h"

/* A referrers list is itself an index, and must stay one that clients take. */
#define REFERRERS_BYTES_MAX (MANIFEST_BYTES_MAX - 65536)

/* A page of names, one more than asked for telling that there is a next. */
struct names {
    struct buf *body;
    uint64_t n, max;
    bool more;
    char last[NAME_MAX_BYTES + 1];
};

static enum err name_add(struct names *names, const char *name)
{
    if (names->n == names->max) {
        names->more = true;
        return ERR_OK;
    }
    if (names->n++ > 0)
        buf_str(names->body, ",");
    buf_json(names->body, name);
    return str_copy(names->last, sizeof names->last, name);
}

static enum err add_repo(void *arg, const char *repo)
{
    return name_add(arg, repo);
}

static enum err add_tag(void *arg, const struct catalog_tag *t)
{
    return name_add(arg, t->name);
}

enum err api_catalog(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct buf body = { 0 };
    struct names names = { .body = &body };
    char last[NAME_MAX_BYTES + 1];
    enum err e;

    (void)call;
    if ((e = call_page(req, &names.max, last, sizeof last)))
        return e;
    buf_str(&body, "{\"repositories\":[");
    if (names.max > 0 && (e = catalog_repo_foreach(registry_catalog(api->cfg.registry), last, names.max + 1,
                                                   add_repo, &names)))
        goto out;
    buf_str(&body, "]}\n");
    if (names.more) /* a repository name needs no escaping in a query */
        http_set_fmt(res, "Link", "</v2/_catalog?n=%llu&last=%s>; rel=\"next\"",
                     (unsigned long long)names.max, names.last);
    e = reply_json(res, 200, "application/json", &body);
out:
    buf_free(&body);
    return e;
}

enum err api_tags(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct buf body = { 0 };
    struct names names = { .body = &body };
    char last[NAME_MAX_BYTES + 1];
    enum err e;

    if ((e = call_page(req, &names.max, last, sizeof last)))
        return e;
    buf_fmt(&body, "{\"name\":\"%s\",\"tags\":[", call->repo);
    if (names.max > 0)
        e = catalog_tag_foreach(registry_catalog(api->cfg.registry), call->repo, last, names.max + 1, add_tag,
                                &names);
    else
        e = catalog_repo_has(registry_catalog(api->cfg.registry), call->repo);
    if (e)
        goto out;
    buf_str(&body, "]}\n");
    if (names.more) /* nor does a tag */
        http_set_fmt(res, "Link", "</v2/%s/tags/list?n=%llu&last=%s>; rel=\"next\"", call->repo,
                     (unsigned long long)names.max, names.last);
    e = reply_json(res, 200, "application/json", &body);
out:
    buf_free(&body);
    return e;
}

struct referrers {
    struct buf *body;
    uint64_t n, max;
    bool more;
    struct digest last;
};

static enum err add_referrer(void *arg, const struct catalog_manifest *m, const char *annotations)
{
    struct referrers *list = arg;
    char digest[DIGEST_TEXT_MAX + 1];
    size_t size = annotations ? strlen(annotations) : 0;

    if (list->more || list->n == list->max ||
        (list->n > 0 && list->body->len + size + 1024 > REFERRERS_BYTES_MAX)) {
        list->more = true;
        return ERR_OK;
    }
    digest_format(&m->digest, digest);
    buf_str(list->body, list->n++ > 0 ? ",{\"mediaType\":" : "{\"mediaType\":");
    buf_json(list->body, m->media_type);
    buf_fmt(list->body, ",\"digest\":\"%s\",\"size\":%llu", digest, (unsigned long long)m->size);
    if (m->artifact_type[0]) {
        buf_str(list->body, ",\"artifactType\":");
        buf_json(list->body, m->artifact_type);
    }
    if (annotations != NULL) {
        buf_str(list->body, ",\"annotations\":");
        buf_str(list->body, annotations);
    }
    buf_str(list->body, "}");
    list->last = m->digest;
    return ERR_OK;
}

/* The next page keeps the filter. */
static enum err link_next(struct http_res *res, const struct call *call, const struct referrers *list,
                          const char *subject, const char *type)
{
    char last[DIGEST_TEXT_MAX + 1];
    struct buf url = { 0 };
    enum err e;

    digest_format(&list->last, last);
    buf_fmt(&url, "</v2/%s/referrers/%s?n=%llu&last=%s", call->repo, subject, (unsigned long long)list->max,
            last);
    if (type != NULL) {
        buf_str(&url, "&artifactType=");
        buf_percent(&url, type, "/");
    }
    buf_str(&url, ">; rel=\"next\"");
    e = url.err;
    if (e == ERR_OK)
        http_set(res, "Link", url.p);
    buf_free(&url);
    return e;
}

/* Spec: "Listing Referrers". An unknown repository or subject has an empty list: never a 404, which
 * would tell clients that there is no such API here. */
enum err api_referrers(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct buf body = { 0 };
    struct referrers list = { .body = &body };
    char last[DIGEST_TEXT_MAX + 1], type[MEDIA_TYPE_MAX + 1], text[DIGEST_TEXT_MAX + 1];
    struct digest subject, after;
    bool filter;
    enum err e;

    if ((e = call_digest(call, call->last, &subject)) || (e = call_page(req, &list.max, last, sizeof last)))
        return e;
    if (last[0] && (e = call_digest(call, last, &after)))
        return e;
    e = http_query_get(req, "artifactType", type, sizeof type);
    if (e && e != ERR_NOT_FOUND)
        return ERR_INVALID;
    filter = e == ERR_OK;
    buf_str(&body, "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_INDEX "\",\"manifests\":[");
    if (list.max > 0 && (e = catalog_referrer_foreach(registry_catalog(api->cfg.registry), call->repo,
                                                      &subject, filter ? type : NULL, last[0] ? &after : NULL,
                                                      list.max + 1, add_referrer, &list)))
        goto out;
    buf_str(&body, "]}\n");
    digest_format(&subject, text);
    if (list.more && (e = link_next(res, call, &list, text, filter ? type : NULL)))
        goto out;
    if (filter)
        http_set(res, "OCI-Filters-Applied", "artifactType");
    e = reply_json(res, 200, MT_OCI_INDEX, &body);
out:
    buf_free(&body);
    return e;
}
