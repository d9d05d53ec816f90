/* The certain part of the disk is kept as files in memory; the pending part is kept as positions
 * in the record. A file's content has a running fingerprint of the record entries it is made
 * of, so that two states can be compared without looking at the bytes. */
#include "disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, PAGE = 4096 };

struct list {
    size_t *at; /* positions in the record */
    size_t count, cap;
};

struct content {
    uint8_t *p;
    size_t len, cap;
    uint64_t print; /* fingerprint of how it came to be */
};

struct node {
    bool folder;
    struct content certain;
    struct list pending;
};

struct entry {
    int dir, node;
    const char *name; /* the record's */
};

struct entries {
    struct entry *e;
    size_t count, cap;
};

struct disk {
    const struct record *r;
    size_t at;
    struct node *nodes;
    size_t node_cap;
    struct entries certain;
    struct list pending;    /* of entries */
    struct entries chosen;  /* work space */
    struct content work;
};

uint64_t mix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void *more(void *p, size_t need, size_t *cap, size_t size)
{
    size_t n = *cap ? *cap : 16;

    if (need <= *cap)
        return p;
    while (n < need)
        n *= 2;
    p = realloc(p, n * size);
    if (!p)
        abort();
    memset((char *)p + *cap * size, 0, (n - *cap) * size);
    *cap = n;
    return p;
}

static void list_add(struct list *l, size_t at)
{
    l->at = more(l->at, l->count + 1, &l->cap, sizeof *l->at);
    l->at[l->count++] = at;
}

/* ---- bytes ---- */

static void content_resize(struct content *c, size_t len)
{
    c->p = more(c->p, len, &c->cap, 1);
    if (len > c->len)
        memset(c->p + c->len, 0, len - c->len);
    c->len = len;
}

static void content_print(struct content *c, uint64_t a, uint64_t b, uint64_t d)
{
    c->print = mix64(mix64(mix64(c->print ^ a) ^ b) ^ d);
}

/* Put bytes [from, to) of the write at position at into c; zeros: only their room. */
static void content_write(struct content *c, const struct record *r, size_t at, size_t from, size_t to,
                          bool zeros)
{
    const struct rec *w = &r->recs[at];
    size_t end = (size_t)w->off + to;

    if (from >= to || (zeros && end <= c->len))
        return;
    content_print(c, at + 1, from + (zeros ? 1u << 30 : 0), to);
    if (end > c->len)
        content_resize(c, end);
    if (!zeros)
        memcpy(c->p + w->off + from, w->data + from, to - from);
}

static void content_apply(struct content *c, const struct record *r, size_t at)
{
    const struct rec *rec = &r->recs[at];

    if (rec->kind == REC_WRITE) {
        content_write(c, r, at, 0, rec->len, false);
    } else if (rec->off != c->len) {
        content_print(c, at + 1, 0, rec->off);
        content_resize(c, (size_t)rec->off);
    }
}

/* The last write, cut in half where a sector ends. */
static void content_tear(struct content *c, const struct record *r, size_t at)
{
    const struct rec *rec = &r->recs[at];
    size_t half = (size_t)(rec->off + rec->len / 2) / SECTOR * SECTOR;

    if (rec->kind == REC_WRITE && half > rec->off)
        content_write(c, r, at, 0, half - (size_t)rec->off, false);
}

static void content_free_choice(struct content *c, const struct record *r, const struct node *n, uint64_t rnd)
{
    unsigned how = (unsigned)(rnd % 5);
    size_t cut = (size_t)(mix64(rnd) % (n->pending.count + 1));

    for (size_t i = 0; i < n->pending.count; i++) {
        size_t at = n->pending.at[i];
        const struct rec *rec = &r->recs[at];
        uint64_t dice = mix64(rnd ^ mix64(at));

        if (how <= 1) { /* up to some moment, and the next write torn */
            if (i < cut)
                content_apply(c, r, at);
            else if (i == cut)
                content_tear(c, r, at);
        } else if (how == 2) { /* the sizes up to some moment, the bytes of none */
            if (i < cut && rec->kind == REC_WRITE)
                content_write(c, r, at, 0, rec->len, true);
        } else if (how == 3) { /* each by itself */
            if (dice & 1)
                content_apply(c, r, at);
        } else if (rec->kind == REC_TRUNCATE) {
            if (dice & 1)
                content_apply(c, r, at);
        } else { /* each page by itself */
            for (size_t from = 0, to; from < rec->len; from = to) {
                to = ((size_t)rec->off + from) / PAGE * PAGE + PAGE - (size_t)rec->off;
                if (to > rec->len)
                    to = rec->len;
                dice = mix64(dice);
                if (dice & 3)
                    content_write(c, r, at, from, to, (dice & 3) == 1);
            }
        }
    }
}

/* The content of node n under choice c, into d->work. */
static struct content *content_choose(struct disk *d, const struct choice *c, int node)
{
    const struct node *n = &d->nodes[node];
    struct content *w = &d->work;

    w->len = 0;
    content_resize(w, n->certain.len);
    if (n->certain.len)
        memcpy(w->p, n->certain.p, n->certain.len);
    w->print = n->certain.print;
    if (c->bytes == BYTES_FREE) {
        content_free_choice(w, d->r, n, mix64(c->seed ^ mix64((uint64_t)node)));
        return w;
    }
    for (size_t i = 0; i < n->pending.count && c->bytes != BYTES_NONE; i++) {
        size_t at = n->pending.at[i];

        if (c->bytes == BYTES_TORN && i + 1 == n->pending.count)
            content_tear(w, d->r, at);
        else if (c->bytes == BYTES_ZEROS && d->r->recs[at].kind == REC_WRITE)
            content_write(w, d->r, at, 0, d->r->recs[at].len, true);
        else
            content_apply(w, d->r, at);
    }
    return w;
}

/* ---- entries ---- */

static void entries_take(struct entries *es, int dir, const char *name, int node)
{
    for (size_t i = 0; i < es->count; i++)
        if (es->e[i].dir == dir && strcmp(es->e[i].name, name) == 0) {
            if (node < 0 || es->e[i].node == node)
                es->e[i] = es->e[--es->count];
            return;
        }
}

static void entries_put(struct entries *es, int dir, const char *name, int node)
{
    entries_take(es, dir, name, -1);
    es->e = more(es->e, es->count + 1, &es->cap, sizeof *es->e);
    es->e[es->count++] = (struct entry){ .dir = dir, .node = node, .name = name };
}

static void entries_apply(struct entries *es, const struct rec *rec)
{
    switch (rec->kind) {
    case REC_CREATE:
    case REC_MKDIR:
        entries_put(es, rec->dir, rec->name, rec->node);
        break;
    case REC_RENAME:
        entries_take(es, rec->dir, rec->name, rec->node);
        entries_put(es, rec->to_dir, rec->to_name, rec->node);
        break;
    case REC_UNLINK:
        entries_take(es, rec->dir, rec->name, rec->node);
        break;
    case REC_WRITE:
    case REC_TRUNCATE:
    case REC_SYNC:
    case REC_SYNC_FAILED:
    case REC_SYNC_DIR:
    case REC_MARK:
        break;
    }
}

static bool touches(const struct rec *rec, int dir)
{
    return rec->dir == dir || (rec->kind == REC_RENAME && rec->to_dir == dir);
}

static bool names(const struct rec *rec, int dir, const char *name)
{
    return (rec->dir == dir && strcmp(rec->name, name) == 0) ||
           (rec->kind == REC_RENAME && rec->to_dir == dir && strcmp(rec->to_name, name) == 0);
}

/* Does a come first for b to make sense: do they speak of the same name, or the same file? */
static bool before(const struct rec *a, const struct rec *b)
{
    return a->node == b->node || names(a, b->dir, b->name) ||
           (b->kind == REC_RENAME && names(a, b->to_dir, b->to_name));
}

/* A folder was synced: its entries are certain, and with them what led to them. */
static void sync_folder(struct disk *d, int dir)
{
    const struct rec *recs = d->r->recs;
    size_t kept = 0;
    bool *sure = calloc(d->pending.count + 1, sizeof *sure);

    if (!sure)
        abort();
    for (size_t i = d->pending.count; i-- > 0;) {
        const struct rec *rec = &recs[d->pending.at[i]];

        sure[i] = touches(rec, dir);
        for (size_t k = i + 1; k < d->pending.count && !sure[i]; k++)
            sure[i] = sure[k] && before(rec, &recs[d->pending.at[k]]);
    }
    for (size_t i = 0; i < d->pending.count; i++) {
        if (sure[i])
            entries_apply(&d->certain, &recs[d->pending.at[i]]);
        else
            d->pending.at[kept++] = d->pending.at[i];
    }
    d->pending.count = kept;
    free(sure);
}

static bool keep_entry(const struct disk *d, const struct choice *c, size_t i)
{
    size_t at = d->pending.at[i];
    const struct rec *rec = &d->r->recs[at];
    uint64_t cut;

    switch (c->entries) {
    case ENTRIES_NONE:
        return false;
    case ENTRIES_ALL:
        return true;
    case ENTRIES_UNTIL:
        return i < c->until;
    case ENTRIES_FOLDERS:
        cut = mix64(c->seed ^ mix64((uint64_t)rec->dir)) % (d->pending.count + 1);
        if (rec->kind == REC_RENAME && rec->to_dir != rec->dir) {
            uint64_t to_cut = mix64(c->seed ^ mix64((uint64_t)rec->to_dir)) % (d->pending.count + 1);

            cut = cut > to_cut ? cut : to_cut;
        }
        return i < cut;
    case ENTRIES_FREE:
        return mix64(c->seed ^ mix64(at)) & 1;
    }
    return false;
}

static struct entries *entries_choose(struct disk *d, const struct choice *c)
{
    struct entries *es = &d->chosen;

    es->e = more(es->e, d->certain.count + 1, &es->cap, sizeof *es->e);
    if (d->certain.count)
        memcpy(es->e, d->certain.e, d->certain.count * sizeof *es->e);
    es->count = d->certain.count;
    for (size_t i = 0; i < d->pending.count; i++)
        if (keep_entry(d, c, i))
            entries_apply(es, &d->r->recs[d->pending.at[i]]);
    return es;
}

/* ---- the walk ---- */

struct disk *disk_new(const struct record *r)
{
    struct disk *d = calloc(1, sizeof *d);

    if (!d)
        abort();
    d->r = r;
    d->nodes = more(NULL, r->node_count + 1, &d->node_cap, sizeof *d->nodes);
    d->nodes[0].folder = true;
    return d;
}

void disk_free(struct disk *d)
{
    for (size_t i = 0; i < d->node_cap; i++) {
        free(d->nodes[i].certain.p);
        free(d->nodes[i].pending.at);
    }
    free(d->nodes);
    free(d->certain.e);
    free(d->pending.at);
    free(d->chosen.e);
    free(d->work.p);
    free(d);
}

void disk_step(struct disk *d)
{
    size_t at = d->at++;
    const struct rec *rec = &d->r->recs[at];
    struct node *n = rec->node >= 0 ? &d->nodes[rec->node] : NULL;

    switch (rec->kind) {
    case REC_MKDIR:
    case REC_CREATE:
        n->folder = rec->kind == REC_MKDIR;
        n->certain.print = mix64((uint64_t)rec->node);
        list_add(&d->pending, at);
        break;
    case REC_RENAME:
    case REC_UNLINK:
        list_add(&d->pending, at);
        break;
    case REC_WRITE:
    case REC_TRUNCATE:
        list_add(&n->pending, at);
        break;
    case REC_SYNC:
        for (size_t i = 0; i < n->pending.count; i++)
            content_apply(&n->certain, d->r, n->pending.at[i]);
        n->pending.count = 0;
        break;
    case REC_SYNC_FAILED:
        n->pending.count = 0;
        break;
    case REC_SYNC_DIR:
        sync_folder(d, rec->node);
        break;
    case REC_MARK:
        break;
    }
}

size_t disk_at(const struct disk *d)
{
    return d->at;
}

size_t disk_pending_entries(const struct disk *d)
{
    return d->pending.count;
}

bool disk_pending_bytes(const struct disk *d)
{
    for (size_t i = 0; i < d->r->node_count; i++)
        if (d->nodes[i].pending.count)
            return true;
    return false;
}

static uint64_t key_of(struct disk *d, const struct choice *c, const struct entries *es, int dir)
{
    uint64_t key = 0;

    /* A sum, since the entries of a folder have no order. */
    for (size_t i = 0; i < es->count; i++) {
        uint64_t h = 1;

        if (es->e[i].dir != dir)
            continue;
        for (const char *s = es->e[i].name; *s; s++)
            h = mix64(h ^ (uint8_t)*s);
        if (d->nodes[es->e[i].node].folder)
            key += mix64(h ^ mix64(key_of(d, c, es, es->e[i].node) + 1));
        else
            key += mix64(h ^ content_choose(d, c, es->e[i].node)->print);
    }
    return key;
}

uint64_t disk_key(struct disk *d, const struct choice *c)
{
    return key_of(d, c, entries_choose(d, c), 0);
}

static void build(struct disk *d, const struct choice *c, const struct entries *es, int dir, const char *path)
{
    for (size_t i = 0; i < es->count; i++) {
        const struct entry *e = &es->e[i];
        char sub[1024];

        if (e->dir != dir)
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, e->name);
        if (d->nodes[e->node].folder) {
            if (mkdir(sub, 0755))
                abort();
            build(d, c, es, e->node, sub);
        } else {
            const struct content *w = content_choose(d, c, e->node);
            int fd = open(sub, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

            if (fd < 0 || write(fd, w->p, w->len) != (ssize_t)w->len)
                abort();
            close(fd);
        }
    }
}

void disk_build(struct disk *d, const struct choice *c, const char *path)
{
    build(d, c, entries_choose(d, c), 0, path);
}
