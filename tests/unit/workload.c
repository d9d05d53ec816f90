/* The workload, its worlds, and the reading of a world from a data directory. Contents are
 * the same in each run, so that a failure can be repeated. */
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "registry/layout.h"
#include "store/store.h"

const char *const repo_names[REPO_COUNT] = { "edge/one", "edge/two", "three" };
const char *const tag_names[TAG_COUNT] = { "latest", "v1", "v2", "multi" };

enum { LATEST = 1, V1 = 2, V2 = 4, MULTI = 8 };

struct item items[ITEM_COUNT] = {
    [I_CONFIG] = { .label = "config", .len = 300 },
    [I_BASE] = { .label = "base", .len = 5000 },
    [I_BIG] = { .label = "big", .len = 70001 },
    [I_APP] = { .label = "app", .len = 9000 },
    [I_RESUMED] = { .label = "resumed", .len = 40000 },
    [I_SESSION] = { .label = "session", .len = 50000 },
    [I_SHA512] = { .label = "sha512", .len = 1000, .alg = DIGEST_SHA512 },
    [I_EMPTY] = { .label = "empty", .len = 0 },
    [I_EMPTY_JSON] = { .label = "empty-json", .len = 2 },
    [I_LOOSE] = { .label = "loose", .len = 513 },
    [I_IMAGE] = { .label = "image", .media_type = MT_OCI_MANIFEST,
                  .children = { I_CONFIG, I_BASE, I_BIG }, .child_count = 3 },
    [I_IMAGE2] = { .label = "image2", .media_type = MT_OCI_MANIFEST,
                   .children = { I_CONFIG, I_BASE, I_APP }, .child_count = 3 },
    [I_INDEX] = { .label = "index", .media_type = MT_OCI_INDEX,
                  .children = { I_IMAGE, I_IMAGE2 }, .child_count = 2 },
    [I_ARTIFACT] = { .label = "artifact", .media_type = MT_OCI_MANIFEST,
                     .children = { I_EMPTY_JSON, I_RESUMED }, .child_count = 2 },
    [I_IMAGE512] = { .label = "image512", .media_type = MT_OCI_MANIFEST, .alg = DIGEST_SHA512,
                     .children = { I_EMPTY_JSON, I_SHA512, I_EMPTY }, .child_count = 3 },
};

const struct op workload[] = {
    { .kind = OP_PUSH, .repo = 0, .item = I_CONFIG },
    { .kind = OP_PUSH, .repo = 0, .item = I_BASE },
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE, .tags = LATEST, .refused = ERR_MANIFEST_BLOB_UNKNOWN },
    { .kind = OP_PUSH, .repo = 0, .item = I_BIG },
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE, .tags = LATEST },
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE, .tags = V1 | V2, .by_digest = true },
    { .kind = OP_MOUNT, .repo = 1, .from = 0, .item = I_CONFIG },
    { .kind = OP_MOUNT, .repo = 1, .from = -1, .item = I_BASE },
    { .kind = OP_PUSH_RESUMED, .repo = 1, .item = I_APP },
    { .kind = OP_PUT, .repo = 1, .item = I_IMAGE2, .tags = LATEST },
    { .kind = OP_PUSH, .repo = 0, .item = I_APP }, /* the file is there already */
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE2, .by_digest = true },
    { .kind = OP_TAG_SET, .repo = 0, .item = I_IMAGE2, .tags = LATEST },
    { .kind = OP_PUT, .repo = 0, .item = I_INDEX, .tags = MULTI },
    { .kind = OP_BEGIN, .repo = 2, .item = I_SESSION },
    { .kind = OP_PUSH, .repo = 0, .item = I_EMPTY_JSON },
    { .kind = OP_PUSH_RESUMED, .repo = 0, .item = I_RESUMED },
    { .kind = OP_PUT, .repo = 0, .item = I_ARTIFACT, .by_digest = true },
    { .kind = OP_LAYOUT_SYNC },
    { .kind = OP_TAG_DELETE, .repo = 0, .tags = V2, .item = TAG_NONE },
    { .kind = OP_CHECKPOINT },
    { .kind = OP_MANIFEST_DELETE, .repo = 0, .item = I_IMAGE, .refused = ERR_IN_USE },
    { .kind = OP_MANIFEST_DELETE, .repo = 0, .item = I_INDEX },
    { .kind = OP_MANIFEST_DELETE, .repo = 0, .item = I_IMAGE },
    { .kind = OP_BLOB_DELETE, .repo = 0, .item = I_BIG },   /* nobody else has it: the file goes */
    { .kind = OP_BLOB_DELETE, .repo = 1, .item = I_BASE, .refused = ERR_IN_USE },
    { .kind = OP_MANIFEST_DELETE, .repo = 1, .item = I_IMAGE2 },
    { .kind = OP_BLOB_DELETE, .repo = 1, .item = I_APP },   /* another repository keeps the file */
    { .kind = OP_REOPEN },
    { .kind = OP_PUSH, .repo = 2, .item = I_SHA512 },
    { .kind = OP_PUSH, .repo = 2, .item = I_EMPTY },
    { .kind = OP_MOUNT, .repo = 2, .from = 0, .item = I_EMPTY_JSON },
    { .kind = OP_PUT, .repo = 2, .item = I_IMAGE512, .tags = V1 },
    { .kind = OP_FINISH, .repo = 2, .item = I_SESSION },
    { .kind = OP_PUSH, .repo = 0, .item = I_BIG },          /* deleted, and now back */
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE, .tags = V1 },
    { .kind = OP_PUT, .repo = 0, .item = I_IMAGE2, .tags = V1 }, /* a tag moves by a push */
    { .kind = OP_PUSH, .repo = 1, .item = I_LOOSE },
    { .kind = OP_MOUNT, .repo = 1, .from = 0, .item = I_APP },
    { .kind = OP_PUT, .repo = 1, .item = I_IMAGE2, .tags = V1 | V2 },
    { .kind = OP_REPO_DELETE, .repo = 1 },
    { .kind = OP_LAYOUT_SYNC },
    { .kind = OP_REOPEN },
    { .kind = OP_BLOB_DELETE, .repo = 2, .item = I_SESSION },
};
const size_t workload_len = sizeof workload / sizeof *workload;

/* ---- contents ---- */

static uint8_t *fill(size_t len, uint32_t seed)
{
    uint8_t *p = malloc(len + 1);

    if (!p)
        abort();
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
    return p;
}

static void add_descriptor(char *buf, size_t cap, const char *media_type, const struct item *it)
{
    char digest[DIGEST_TEXT_MAX + 1];
    size_t at = strlen(buf);

    digest_format(&it->digest, digest);
    snprintf(buf + at, cap - at, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", media_type, digest,
             it->len);
}

static void make_manifest(struct item *it)
{
    char buf[4096];
    bool index = strcmp(it->media_type, MT_OCI_INDEX) == 0;

    snprintf(buf, sizeof buf, "{\"schemaVersion\":2,\"mediaType\":\"%s\",", it->media_type);
    if (it->subject != TAG_NONE) {
        strcat(buf, "\"artifactType\":\"application/vnd.example.sbom\",\"subject\":");
        add_descriptor(buf, sizeof buf, items[it->subject].media_type, &items[it->subject]);
        strcat(buf, ",");
    }
    for (size_t i = 0; i < it->child_count; i++) {
        const struct item *child = &items[it->children[i]];
        const char *type = index ? child->media_type : "application/vnd.oci.image.layer.v1.tar";

        if (!index && i == 0) {
            strcat(buf, "\"config\":");
            add_descriptor(buf, sizeof buf,
                           child == &items[I_EMPTY_JSON] ? MT_OCI_EMPTY
                                                         : "application/vnd.oci.image.config.v1+json", child);
            strcat(buf, ",\"layers\":[");
            continue;
        }
        if (index && i == 0)
            strcat(buf, "\"manifests\":[");
        else if (buf[strlen(buf) - 1] != '[')
            strcat(buf, ",");
        add_descriptor(buf, sizeof buf, type, child);
    }
    strcat(buf, "]}");
    it->len = strlen(buf);
    it->bytes = malloc(it->len);
    if (!it->bytes)
        abort();
    memcpy(it->bytes, buf, it->len);
}

void items_make(void)
{
    for (int i = 0; i < ITEM_COUNT; i++) {
        struct item *it = &items[i];

        it->subject = i == I_ARTIFACT ? I_IMAGE : TAG_NONE;
        if (i >= MANIFEST_FIRST)
            make_manifest(it);
        else
            it->bytes = fill(it->len, (uint32_t)i + 1);
        if (i == I_EMPTY_JSON)
            memcpy(it->bytes, "{}", 2);
        digest_of(it->alg, it->bytes, it->len, &it->digest);
    }
}

void items_free(void)
{
    for (int i = 0; i < ITEM_COUNT; i++)
        free(items[i].bytes);
}

/* ---- worlds ---- */

void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    memset(w->tag, TAG_NONE, sizeof w->tag);
}

void op_apply(const struct op *op, struct world *w)
{
    bool (*has)[ITEM_COUNT] = &w->has[op->repo];
    uint8_t *tag = w->tag[op->repo];

    if (op->refused)
        return;
    switch (op->kind) {
    case OP_PUSH:
    case OP_PUSH_RESUMED:
    case OP_FINISH:
    case OP_MOUNT:
        (*has)[op->item] = true;
        break;
    case OP_PUT:
    case OP_TAG_SET:
    case OP_TAG_DELETE:
        if (op->kind == OP_PUT)
            (*has)[op->item] = true;
        for (int i = 0; i < TAG_COUNT; i++)
            if (op->tags & (1u << i))
                tag[i] = (uint8_t)op->item;
        break;
    case OP_MANIFEST_DELETE:
        (*has)[op->item] = false;
        for (int i = 0; i < TAG_COUNT; i++)
            if (tag[i] == (uint8_t)op->item)
                tag[i] = TAG_NONE;
        break;
    case OP_BLOB_DELETE:
        (*has)[op->item] = false;
        break;
    case OP_REPO_DELETE:
        memset(*has, 0, sizeof *has);
        memset(tag, TAG_NONE, TAG_COUNT);
        break;
    case OP_BEGIN:
    case OP_LAYOUT_SYNC:
    case OP_REOPEN:
    case OP_CHECKPOINT:
        break;
    }
}

size_t op_worlds(const struct op *op, const struct world *w, struct world out[WORLDS_MAX])
{
    size_t n = 0;

    out[n++] = *w;
    if (op->kind == OP_REPO_DELETE && !op->refused) {
        /* A large repository goes in steps: first all its tags, so that nobody begins to pull. */
        out[n] = *w;
        memset(out[n++].tag[op->repo], TAG_NONE, TAG_COUNT);
    }
    out[n] = *w;
    op_apply(op, &out[n]);
    return n + 1;
}

bool world_eq(const struct world *a, const struct world *b)
{
    return memcmp(a->has, b->has, sizeof a->has) == 0 && memcmp(a->tag, b->tag, sizeof a->tag) == 0;
}

void world_diff(const struct world *want, const struct world *got, char *out, size_t cap)
{
    size_t n = 0;

    out[0] = '\0';
    for (int r = 0; r < REPO_COUNT; r++) {
        for (int i = 0; i < ITEM_COUNT && n < cap; i++)
            if (want->has[r][i] != got->has[r][i])
                n += (size_t)snprintf(out + n, cap - n, "%s/%s %s; ", repo_names[r], items[i].label,
                                      got->has[r][i] ? "is there" : "is missing");
        for (int t = 0; t < TAG_COUNT && n < cap; t++)
            if (want->tag[r][t] != got->tag[r][t])
                n += (size_t)snprintf(out + n, cap - n, "%s:%s is %s, not %s; ", repo_names[r], tag_names[t],
                                      got->tag[r][t] == TAG_NONE ? "absent" : items[got->tag[r][t]].label,
                                      want->tag[r][t] == TAG_NONE ? "absent" : items[want->tag[r][t]].label);
    }
}

void op_format(const struct op *op, char *out, size_t cap)
{
    static const char *const names[] = { "push", "push resumed", "begin", "finish", "mount", "put", "tag",
                                         "untag", "delete manifest", "delete blob", "delete repository",
                                         "sync layout", "reopen", "checkpoint" };
    bool repo = op->kind != OP_LAYOUT_SYNC && op->kind != OP_REOPEN && op->kind != OP_CHECKPOINT;
    size_t n = (size_t)snprintf(out, cap, "%s%s%s", names[op->kind], repo ? " " : "",
                                repo ? repo_names[op->repo] : "");

    if (repo && op->kind != OP_REPO_DELETE && op->item != TAG_NONE && n < cap)
        n += (size_t)snprintf(out + n, cap - n, " %s", items[op->item].label);
    for (int i = 0; i < TAG_COUNT && n < cap; i++)
        if (op->tags & (1u << i))
            n += (size_t)snprintf(out + n, cap - n, " :%s", tag_names[i]);
}

/* ---- running ---- */

enum err bench_open(struct bench *b, bool create)
{
    struct registry_config cfg = { .data = b->data, .create = create, .vfs = b->vfs, .io = b->io,
                                   .cache_kib = 256, .busy_ms = 200 };
    enum err e = registry_open(&b->r, &cfg, b->log);

    if (e)
        b->r = NULL;
    return e;
}

void bench_close(struct bench *b)
{
    registry_close(b->r);
    b->r = NULL;
}

static enum err append(struct upload *up, const struct item *it, uint64_t *from, uint64_t to)
{
    enum err e = ERR_OK;

    while (*from < to) {
        uint64_t n = to - *from < CHUNK ? to - *from : CHUNK;

        if ((e = upload_append(up, it->bytes + *from, (size_t)n)))
            break;
        *from += n;
    }
    return e;
}

/* The end of each push: the rest of the bytes, then the commit. What is acknowledged so far is
 * remembered for the one who tries again. */
static enum err push_rest(struct bench *b, const struct op *op, struct upload *up, uint64_t at)
{
    const struct item *it = &items[op->item];
    enum err e;

    memcpy(b->broken, upload_id(up), strlen(upload_id(up)) + 1);
    e = append(up, it, &at, it->len);
    b->broken_size = at;
    if (!e)
        e = registry_upload_commit(b->r, repo_names[op->repo], up, &it->digest);
    if (!e)
        b->broken[0] = '\0';
    return e;
}

static enum err run_push(struct bench *b, const struct op *op)
{
    const struct item *it = &items[op->item];
    struct upload *up = NULL;
    uint64_t at = 0;
    enum err e;

    if ((e = registry_upload_begin(&up, b->r, repo_names[op->repo], it->alg)))
        return e;
    if (op->kind == OP_PUSH && (e = upload_expect(up, it->len)))
        upload_cancel(up);
    if (!e && op->kind == OP_PUSH_RESUMED) {
        char id[UPLOAD_ID_LEN + 1];

        memcpy(id, upload_id(up), strlen(upload_id(up)) + 1);
        memcpy(b->broken, id, sizeof id);
        e = append(up, it, &at, it->len / 2);
        b->broken_size = at;
        upload_close(up);
        up = NULL;
        if (!e)
            e = registry_upload_resume(&up, b->r, repo_names[op->repo], id);
        if (!e && upload_size(up) != at)
            e = ERR_RANGE;
    }
    if (!e)
        e = push_rest(b, op, up, at);
    upload_close(up);
    return e;
}

static enum err run_begin(struct bench *b, const struct op *op)
{
    const struct item *it = &items[op->item];
    struct upload *up = NULL;
    enum err e;

    b->session[0] = '\0';
    b->session_size = 0;
    if ((e = registry_upload_begin(&up, b->r, repo_names[op->repo], it->alg)))
        return e;
    memcpy(b->session, upload_id(up), strlen(upload_id(up)) + 1);
    e = append(up, it, &b->session_size, it->len / 2);
    upload_close(up);
    return e;
}

static enum err resume_push(struct bench *b, const struct op *op, const char *id, uint64_t size)
{
    struct upload *up = NULL;
    enum err e = registry_upload_resume(&up, b->r, repo_names[op->repo], id);

    /* More may be there than was acknowledged, when the answer was lost; never less. */
    if (!e && (upload_size(up) < size || upload_size(up) > items[op->item].len)) {
        snprintf(b->why, sizeof b->why, "session resumed at %" PRIu64 ", acknowledged %" PRIu64,
                 upload_size(up), size);
        e = ERR_RANGE;
    }
    if (!e)
        e = push_rest(b, op, up, upload_size(up));
    upload_close(up);
    return e;
}

static enum err run_put(struct bench *b, const struct op *op)
{
    const struct item *it = &items[op->item];
    const char *tags[TAG_COUNT];
    struct manifest_push push = { .repo = repo_names[op->repo], .bytes = it->bytes, .len = it->len,
                                  .content_type = it->media_type, .alg = it->alg, .tags = tags,
                                  .who = "workload" };
    enum err e;

    for (int i = 0; i < TAG_COUNT; i++)
        if (op->tags & (1u << i))
            tags[push.tag_count++] = tag_names[i];
    if (op->by_digest)
        push.want = &it->digest;
    e = registry_manifest_put(b->r, &push);
    if (!e && !digest_eq(&push.digest, &it->digest))
        e = ERR_DIGEST_INVALID;
    return e;
}

static enum err run_checkpoint(struct bench *b)
{
    sqlite3 *db = NULL;
    char path[512];
    int rc;

    snprintf(path, sizeof path, "%s/catalog.db", b->data);
    rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, b->vfs);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_close(db);
    return rc == SQLITE_OK ? ERR_OK : rc == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO;
}

static const char *first_tag(const struct op *op)
{
    for (int i = 0; i < TAG_COUNT; i++)
        if (op->tags & (1u << i))
            return tag_names[i];
    return "";
}

enum err op_run(struct bench *b, const struct op *op)
{
    const char *repo = repo_names[op->repo];
    const struct digest *d = op->item < ITEM_COUNT ? &items[op->item].digest : NULL;

    b->broken[0] = '\0';
    switch (op->kind) {
    case OP_PUSH:
    case OP_PUSH_RESUMED:
        return run_push(b, op);
    case OP_BEGIN:
        return run_begin(b, op);
    case OP_FINISH:
        return resume_push(b, op, b->session, b->session_size);
    case OP_MOUNT:
        return registry_blob_mount(b->r, repo, d, op->from < 0 ? NULL : repo_names[op->from]);
    case OP_PUT:
        return run_put(b, op);
    case OP_TAG_SET:
        return registry_tag_set(b->r, repo, first_tag(op), d, "workload");
    case OP_TAG_DELETE:
        return registry_tag_delete(b->r, repo, first_tag(op), "workload");
    case OP_MANIFEST_DELETE:
        return registry_manifest_delete(b->r, repo, d, "workload");
    case OP_BLOB_DELETE:
        return registry_blob_delete(b->r, repo, d);
    case OP_REPO_DELETE:
        return registry_repo_delete(b->r, repo, "workload");
    case OP_LAYOUT_SYNC:
        return layout_sync(b->r);
    case OP_REOPEN:
        bench_close(b);
        return bench_open(b, false);
    case OP_CHECKPOINT:
        return run_checkpoint(b);
    }
    return ERR_UNSUPPORTED;
}

enum err op_retry(struct bench *b, const struct op *op)
{
    char id[UPLOAD_ID_LEN + 1];
    enum err e;

    if (!b->r && (e = bench_open(b, true)))
        return e;
    switch (op->kind) {
    case OP_PUSH:
    case OP_PUSH_RESUMED:
    case OP_FINISH:
        memcpy(id, b->broken, sizeof id);
        if (!id[0] && op->kind == OP_FINISH)
            return op_run(b, op);
        if (id[0]) {
            e = resume_push(b, op, id, b->broken_size);
            if (e != ERR_UPLOAD_UNKNOWN)
                return e;
        }
        return run_push(b, op);
    case OP_MANIFEST_DELETE:
    case OP_TAG_DELETE:
        e = op_run(b, op);
        return e == ERR_MANIFEST_UNKNOWN ? ERR_OK : e;
    case OP_BLOB_DELETE:
        e = op_run(b, op);
        return e == ERR_BLOB_UNKNOWN ? ERR_OK : e;
    case OP_REPO_DELETE:
        e = op_run(b, op);
        return e == ERR_NAME_UNKNOWN ? ERR_OK : e;
    case OP_BEGIN:
    case OP_MOUNT:
    case OP_PUT:
    case OP_TAG_SET:
    case OP_LAYOUT_SYNC:
    case OP_REOPEN:
    case OP_CHECKPOINT:
        break;
    }
    return op_run(b, op);
}

/* ---- observing ---- */

static bool wrong(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct bench *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(b->why, sizeof b->why, fmt, ap);
    va_end(ap);
    return false;
}

/* The bytes behind fd are the item's, all of them and nothing after. Closes fd. */
static bool same_bytes(int fd, const struct item *it)
{
    static uint8_t buf[1 << 17];
    ssize_t n = pread(fd, buf, sizeof buf, 0);

    close(fd);
    return n == (ssize_t)it->len && memcmp(buf, it->bytes, it->len) == 0;
}

static int item_of(const struct digest *d)
{
    for (int i = 0; i < ITEM_COUNT; i++)
        if (digest_eq(&items[i].digest, d))
            return i;
    return -1;
}

static bool observe_blob(struct bench *b, int r, int i, bool *has)
{
    const struct item *it = &items[i];
    uint64_t size = 0, stat_size = 0;
    int fd = -1;
    enum err e = registry_blob_open(b->r, repo_names[r], &it->digest, &fd, &size);
    enum err es = registry_blob_stat(b->r, repo_names[r], &it->digest, &stat_size);

    *has = e == ERR_OK;
    if (e && e != ERR_BLOB_UNKNOWN && e != ERR_NAME_UNKNOWN)
        return wrong(b, "open blob %s of %s: %s", it->label, repo_names[r], err_text(e));
    if (e != es) {
        if (!e)
            close(fd);
        return wrong(b, "blob %s of %s: open says %s, stat %s", it->label, repo_names[r], err_text(e),
                     err_text(es));
    }
    if (e)
        return true;
    if (!same_bytes(fd, it))
        return wrong(b, "blob %s of %s: wrong bytes", it->label, repo_names[r]);
    if (size != it->len || stat_size != it->len)
        return wrong(b, "blob %s of %s: wrong size", it->label, repo_names[r]);
    return true;
}

/* by a tag when tag is not NULL, else by the digest of item i */
static bool observe_manifest(struct bench *b, int r, int i, const char *tag, int *found)
{
    struct reference ref = { .is_digest = !tag };
    struct catalog_manifest m;
    const char *name = tag ? tag : items[i].label;
    int fd = -1;
    enum err e;

    if (tag)
        snprintf(ref.tag, sizeof ref.tag, "%s", tag);
    else
        ref.digest = items[i].digest;
    e = registry_manifest_open(b->r, repo_names[r], &ref, &m, &fd);
    *found = TAG_NONE;
    if (e == ERR_MANIFEST_UNKNOWN || e == ERR_NAME_UNKNOWN)
        return true;
    if (e)
        return wrong(b, "manifest %s of %s: %s", name, repo_names[r], err_text(e));
    *found = item_of(&m.digest);
    if (*found < MANIFEST_FIRST || (!tag && *found != i)) {
        close(fd);
        return wrong(b, "manifest %s of %s: another digest", name, repo_names[r]);
    }
    if (!same_bytes(fd, &items[*found]))
        return wrong(b, "manifest %s of %s: wrong bytes", name, repo_names[r]);
    if (m.size != items[*found].len || strcmp(m.media_type, items[*found].media_type) != 0)
        return wrong(b, "manifest %s of %s: wrong size or media type", name, repo_names[r]);
    return true;
}

/* What the lists say, to be held against what could be pulled. */
struct lists {
    struct world w;
    int repo;
    bool repo_seen[REPO_COUNT];
    unsigned repos, tags, manifests;
    int strange;
};

static enum err list_repo(void *arg, const char *repo)
{
    struct lists *l = arg;

    l->repos++;
    for (int r = 0; r < REPO_COUNT; r++)
        if (strcmp(repo, repo_names[r]) == 0) {
            l->repo_seen[r] = true;
            return ERR_OK;
        }
    l->strange++;
    return ERR_OK;
}

static enum err list_tag(void *arg, const struct catalog_tag *t)
{
    struct lists *l = arg;
    int i = item_of(&t->manifest.digest);

    l->tags++;
    for (int k = 0; k < TAG_COUNT && i >= 0; k++)
        if (strcmp(t->name, tag_names[k]) == 0) {
            l->w.tag[l->repo][k] = (uint8_t)i;
            return ERR_OK;
        }
    l->strange++;
    return ERR_OK;
}

static enum err list_manifest(void *arg, const struct catalog_manifest *m, bool tagged, bool child_of_index)
{
    struct lists *l = arg;
    int i = item_of(&m->digest);

    (void)child_of_index;
    (void)tagged;
    l->manifests++;
    if (i < MANIFEST_FIRST)
        l->strange++;
    else
        l->w.has[l->repo][i] = true;
    return ERR_OK;
}

static enum err list_referrer(void *arg, const struct catalog_manifest *m, const char *annotations)
{
    int *count = arg;

    (void)annotations;
    *count += digest_eq(&m->digest, &items[I_ARTIFACT].digest) ? 1 : 1000;
    return ERR_OK;
}

static bool observe_lists(struct bench *b, const struct world *w)
{
    struct catalog *c = registry_catalog(b->r);
    struct lists l = { .repo = 0 };
    struct catalog_usage usage;
    bool kept[ITEM_COUNT] = { false };
    uint64_t blobs = 0, bytes = 0;
    char diff[200];
    enum err e;

    world_init(&l.w);
    if ((e = catalog_repo_foreach(c, NULL, 100, list_repo, &l)))
        return wrong(b, "list of repositories: %s", err_text(e));
    for (int r = 0; r < REPO_COUNT; r++) {
        bool empty = true;
        int referrers = 0;

        l.repo = r;
        if ((e = catalog_tag_foreach(c, repo_names[r], NULL, 100, list_tag, &l)) && e != ERR_NAME_UNKNOWN)
            return wrong(b, "list of tags: %s", err_text(e));
        if ((e = catalog_manifest_foreach(c, repo_names[r], NULL, 100, list_manifest, &l)) &&
            e != ERR_NAME_UNKNOWN)
            return wrong(b, "list of manifests: %s", err_text(e));
        if ((e = catalog_referrer_foreach(c, repo_names[r], &items[I_IMAGE].digest, NULL, NULL, 100,
                                          list_referrer, &referrers)) && e != ERR_NAME_UNKNOWN)
            return wrong(b, "list of referrers: %s", err_text(e));
        if (referrers != (w->has[r][I_ARTIFACT] ? 1 : 0))
            return wrong(b, "%s has %d referrers", repo_names[r], referrers);
        for (int i = 0; i < ITEM_COUNT; i++) {
            if (i < MANIFEST_FIRST)
                l.w.has[r][i] = w->has[r][i]; /* blobs of a repository have no list */
            kept[i] = kept[i] || w->has[r][i];
            empty = empty && !w->has[r][i];
        }
        if (!empty && !l.repo_seen[r])
            return wrong(b, "repository %s is not listed", repo_names[r]);
    }
    if (l.strange)
        return wrong(b, "%d names in lists that nobody made", l.strange);
    if (!world_eq(&l.w, w)) {
        world_diff(w, &l.w, diff, sizeof diff);
        return wrong(b, "lists disagree with what can be pulled: %s", diff);
    }
    for (int i = 0; i < ITEM_COUNT; i++)
        if (kept[i]) {
            blobs++;
            bytes += items[i].len;
        }
    if ((e = catalog_usage_get(c, &usage)))
        return wrong(b, "usage: %s", err_text(e));
    if (usage.blobs != blobs || usage.bytes != bytes || usage.tags != l.tags ||
        usage.manifests != l.manifests || usage.repos != l.repos)
        return wrong(b, "totals are wrong: %" PRIu64 " blobs (not %" PRIu64 "), %" PRIu64 " bytes (%" PRIu64
                     "), %" PRIu64 " tags (%u), %" PRIu64 " manifests (%u), %" PRIu64 " repositories (%u)",
                     usage.blobs, blobs, usage.bytes, bytes, usage.tags, l.tags, usage.manifests,
                     l.manifests, usage.repos, l.repos);
    return true;
}

bool observe(struct bench *b, struct world *out)
{
    enum err e;

    world_init(out);
    b->why[0] = '\0';
    for (int r = 0; r < REPO_COUNT; r++) {
        for (int i = 0; i < ITEM_COUNT; i++) {
            int found = TAG_NONE;

            if (i < MANIFEST_FIRST) {
                if (!observe_blob(b, r, i, &out->has[r][i]))
                    return false;
                continue;
            }
            if (!observe_manifest(b, r, i, NULL, &found))
                return false;
            out->has[r][i] = found == i;
        }
        for (int t = 0; t < TAG_COUNT; t++) {
            int found = TAG_NONE;

            if (!observe_manifest(b, r, TAG_NONE, tag_names[t], &found))
                return false;
            out->tag[r][t] = (uint8_t)found;
            if (found != TAG_NONE && !out->has[r][found])
                return wrong(b, "%s:%s leads to a missing manifest", repo_names[r], tag_names[t]);
        }
        for (int i = MANIFEST_FIRST; i < ITEM_COUNT; i++)
            for (size_t k = 0; out->has[r][i] && k < items[i].child_count; k++)
                if (!out->has[r][items[i].children[k]])
                    return wrong(b, "%s of %s leads to missing content", items[i].label, repo_names[r]);
    }
    if (!observe_lists(b, out))
        return false;
    if ((e = catalog_check(registry_catalog(b->r))))
        return wrong(b, "the catalogue is damaged: %s", err_text(e));
    return true;
}

/* ---- files ---- */

struct files {
    struct store *s;
    bool bad;
    bool seen[ITEM_COUNT];
};

static enum err see_blob(void *arg, const struct digest *d, uint64_t size)
{
    struct files *f = arg;
    int i = item_of(d), fd = -1;

    if (i < 0) {
        f->bad = true;
        return ERR_OK;
    }
    f->seen[i] = true;
    /* Held against the very bytes, which is stricter than a hash, and quicker. */
    if (size != items[i].len || store_blob_open(f->s, d, &fd, &size) || !same_bytes(fd, &items[i]))
        f->bad = true;
    return ERR_OK;
}

static enum err see_trash(void *arg, const struct digest *d)
{
    int *count = arg;

    (void)d;
    (*count)++;
    return ERR_OK;
}

static char *read_text(const char *data, const char *name, size_t *len)
{
    char path[512];
    char *p = NULL;
    struct stat st;
    int fd;

    snprintf(path, sizeof path, "%s/%s", data, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && (p = malloc((size_t)st.st_size + 1))) {
        ssize_t n = pread(fd, p, (size_t)st.st_size, 0);

        *len = n > 0 ? (size_t)n : 0;
        p[*len] = '\0';
    }
    close(fd);
    return p;
}

/* An entry of index.json and the worlds it has been found in. */
struct index_check {
    struct world w;
    bool bad;
};

static enum err see_entry(void *arg, const char *key, const struct json_val *v)
{
    struct index_check *ic = arg;
    const struct json_val *annotations = json_get(v, "annotations");
    size_t len = 0, name_len = 0;
    const char *digest = json_str(json_get(v, "digest"), &len);
    const char *name = json_str(json_get(annotations, "org.opencontainers.image.ref.name"), &name_len);
    const char *type = json_str(json_get(v, "mediaType"), NULL);
    struct digest d;
    uint64_t size = 0;
    int i;

    (void)key;
    ic->bad = true; /* until the end */
    if (!digest || !name || !type || digest_parse(digest, len, &d) || json_u64(json_get(v, "size"), &size))
        return ERR_OK;
    i = item_of(&d);
    if (i < MANIFEST_FIRST || size != items[i].len || strcmp(type, items[i].media_type) != 0)
        return ERR_OK;
    for (int r = 0; r < REPO_COUNT; r++) {
        size_t n = strlen(repo_names[r]);

        if (strncmp(name, repo_names[r], n) != 0)
            continue;
        if (name[n] == '@' && strcmp(name + n + 1, digest) == 0) {
            ic->w.has[r][i] = true;
            ic->bad = false;
        }
        for (int t = 0; name[n] == ':' && t < TAG_COUNT; t++)
            if (strcmp(name + n + 1, tag_names[t]) == 0) {
                ic->w.tag[r][t] = (uint8_t)i;
                ic->bad = false;
            }
    }
    return ic->bad ? ERR_INVALID : ERR_OK;
}

/* Which manifests index.json must name by digest: those without a tag that no index leads to. */
static void expected_index(const struct world *w, struct world *out)
{
    *out = *w;
    for (int r = 0; r < REPO_COUNT; r++) {
        memset(out->has[r], 0, MANIFEST_FIRST * sizeof(bool));
        for (int t = 0; t < TAG_COUNT; t++)
            if (w->tag[r][t] != TAG_NONE)
                out->has[r][w->tag[r][t]] = false;
        for (size_t k = 0; w->has[r][I_INDEX] && k < items[I_INDEX].child_count; k++)
            out->has[r][items[I_INDEX].children[k]] = false;
    }
}

static bool check_index(struct bench *b, const struct world *w, bool exact)
{
    struct index_check ic = { .bad = false };
    struct world want;
    struct json *j = NULL;
    const char *why = "";
    uint64_t version = 0;
    size_t len = 0;
    char *text = read_text(b->data, "index.json", &len);
    char diff[200];
    bool ok = false;

    world_init(&ic.w);
    if (!text)
        return wrong(b, "index.json cannot be read");
    if (json_parse(&j, text, len, &why)) {
        wrong(b, "index.json: %s", why);
        goto out;
    }
    if (json_u64(json_get(json_root(j), "schemaVersion"), &version) || version != 2 ||
        !json_is_array(json_get(json_root(j), "manifests"))) {
        wrong(b, "index.json is not an image index");
        goto out;
    }
    json_foreach(json_get(json_root(j), "manifests"), see_entry, &ic);
    if (ic.bad) {
        wrong(b, "index.json has a wrong entry");
        goto out;
    }
    expected_index(w, &want);
    if (exact && !world_eq(&want, &ic.w)) {
        world_diff(&want, &ic.w, diff, sizeof diff);
        wrong(b, "index.json: %s", diff);
        goto out;
    }
    ok = true;
out:
    json_free(j);
    free(text);
    return ok;
}

bool check_files(struct bench *b, const struct world *w, unsigned more)
{
    struct files f = { .bad = false };
    int trash = 0;
    size_t len = 0;
    char *layout = read_text(b->data, "oci-layout", &len);
    bool right = layout && strstr(layout, "\"imageLayoutVersion\"") && strstr(layout, "\"1.0.0\"");
    enum err e;

    free(layout);
    if (!right)
        return wrong(b, "oci-layout is missing or wrong");
    if ((e = store_open(&f.s, b->data, false, b->io, b->log)))
        return wrong(b, "store: %s", err_text(e));
    e = store_blob_foreach(f.s, see_blob, &f);
    if (!e)
        e = store_trash_foreach(f.s, see_trash, &trash);
    store_close(f.s);
    if (e)
        return wrong(b, "walk over blobs/ and trash/: %s", err_text(e));
    if (f.bad)
        return wrong(b, "a file in blobs/ has other bytes than its name says");
    for (int i = 0; i < ITEM_COUNT; i++) {
        bool kept = false;

        for (int r = 0; r < REPO_COUNT; r++)
            kept = kept || w->has[r][i];
        if (kept && !f.seen[i])
            return wrong(b, "%s has no file", items[i].label);
        if ((more & FILES_NONE_LEFT) && !kept && f.seen[i])
            return wrong(b, "the file of %s is left over", items[i].label);
    }
    if ((more & FILES_NONE_LEFT) && trash)
        return wrong(b, "%d files in trash/", trash);
    return check_index(b, w, (more & FILES_INDEX) != 0);
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *de;
    int n = 0;

    if (!dir)
        return -1;
    while ((de = readdir(dir)))
        n += de->d_name[0] != '.';
    closedir(dir);
    return n;
}

int count_uploads(const char *data)
{
    char path[512];

    snprintf(path, sizeof path, "%s/uploads", data);
    return count_entries(path);
}

int count_fds(void)
{
    return count_entries("/proc/self/fd");
}

static void copy_file(const char *from, const char *to)
{
    static char buf[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n;

    if (in < 0 || out < 0)
        abort();
    while ((n = read(in, buf, sizeof buf)) > 0)
        if (write(out, buf, (size_t)n) != n)
            abort();
    close(in);
    close(out);
}

void copy_data(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    struct dirent *de;

    if (!dir || mkdir(to, 0755))
        abort();
    while ((de = readdir(dir))) {
        char a[1024], b[1024];
        struct stat st;
        size_t n = strlen(de->d_name);

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
            (n > 4 && strcmp(de->d_name + n - 4, "-shm") == 0))
            continue;
        snprintf(a, sizeof a, "%s/%s", from, de->d_name);
        snprintf(b, sizeof b, "%s/%s", to, de->d_name);
        if (lstat(a, &st))
            abort();
        if (S_ISDIR(st.st_mode))
            copy_data(a, b);
        else
            copy_file(a, b);
    }
    closedir(dir);
}

#define MEMORY      "/dev/shm"
#define MEMORY_NAME "berth-test-disk-"

bool memory_folder(char out[MEMORY_FOLDER_MAX])
{
    DIR *dir = opendir(MEMORY);
    struct dirent *de;
    int pid;

    while (dir && (de = readdir(dir))) {
        char path[512];

        if (sscanf(de->d_name, MEMORY_NAME "%d", &pid) != 1 || kill(pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(path, sizeof path, "%s/%s", MEMORY, de->d_name);
        remove_data(path);
    }
    if (dir)
        closedir(dir);
    snprintf(out, MEMORY_FOLDER_MAX, "%s/%s%d", MEMORY, MEMORY_NAME, (int)getpid());
    return mkdir(out, 0700) == 0;
}

void remove_data(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *de;

    if (!dir) {
        unlink(path);
        return;
    }
    while ((de = readdir(dir))) {
        char sub[1024];

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, de->d_name);
        if (de->d_type == DT_DIR)
            remove_data(sub);
        else
            unlink(sub);
    }
    closedir(dir);
    rmdir(path);
}
