/* workload.h - a fixed sequence of changes to a registry, and what must be there after each.
 *
 * A world says, exactly, what a registry serves: which blobs and manifests in which
 * repository, which tag points where. op_apply() computes the world after an operation,
 * op_run() performs it, and observe() reads the world of a real data directory, proving
 * every byte on the way. What a test wants to know is then one comparison: the observed
 * world is the one before the operation or the one after it, never something between.
 */
#ifndef BERTH_TESTS_WORKLOAD_H
#define BERTH_TESTS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

enum { REPO_COUNT = 3, TAG_COUNT = 4, CHILDREN_MAX = 3, CHUNK = 16384 };

/* Contents that the workload pushes; manifests come last. */
enum item_id {
    I_CONFIG, I_BASE, I_BIG, I_APP, I_RESUMED, I_SESSION, I_SHA512, I_EMPTY, I_EMPTY_JSON, I_LOOSE,
    I_IMAGE, I_IMAGE2, I_INDEX, I_ARTIFACT, I_IMAGE512,
    ITEM_COUNT,
    MANIFEST_FIRST = I_IMAGE,
    TAG_NONE = ITEM_COUNT
};

struct item {
    const char *label;
    const char *media_type;          /* of a manifest */
    enum digest_alg alg;
    struct digest digest;
    uint8_t *bytes;
    size_t len;
    enum item_id children[CHILDREN_MAX];
    size_t child_count;
    enum item_id subject;            /* TAG_NONE: none */
};

enum op_kind {
    OP_PUSH,          /* a blob in one session, chunk by chunk */
    OP_PUSH_RESUMED,  /* a blob; the session is closed and resumed in the middle */
    OP_BEGIN,         /* a session left open with half of the bytes */
    OP_FINISH,        /* the session of OP_BEGIN gets the rest and becomes a blob */
    OP_MOUNT,         /* from repository "from"; -1: from any */
    OP_PUT,           /* a manifest; tags as given, none: by digest */
    OP_TAG_SET, OP_TAG_DELETE, OP_MANIFEST_DELETE, OP_BLOB_DELETE, OP_REPO_DELETE,
    OP_LAYOUT_SYNC,
    OP_REOPEN,
    OP_CHECKPOINT     /* of the write-ahead log, as a busy server's happens now and then */
};

struct op {
    enum op_kind kind;
    int repo, from;
    enum item_id item;
    unsigned tags;    /* bit i: tag i */
    bool by_digest;   /* OP_PUT with tags: the tags beside a push by digest */
    enum err refused; /* the answer when it is one that changes nothing */
};

extern const struct op workload[];
extern const size_t workload_len;
extern const char *const repo_names[REPO_COUNT];
extern const char *const tag_names[TAG_COUNT];
extern struct item items[ITEM_COUNT]; /* made by items_make */

void items_make(void);
void items_free(void);

struct world {
    bool has[REPO_COUNT][ITEM_COUNT];
    uint8_t tag[REPO_COUNT][TAG_COUNT]; /* enum item_id, TAG_NONE */
};

void world_init(struct world *w);
void op_apply(const struct op *op, struct world *w);
/* The worlds that may be there when op is cut off: w itself, what op makes of it, and where op is
 * allowed more than one transaction what lies between. Returns how many; the last is the end. */
enum { WORLDS_MAX = 3 };
size_t op_worlds(const struct op *op, const struct world *w, struct world out[WORLDS_MAX]);
bool world_eq(const struct world *a, const struct world *b);
/* What differs, for a message; "" when nothing does. */
void world_diff(const struct world *want, const struct world *got, char *out, size_t cap);
void op_format(const struct op *op, char *out, size_t cap);

/* One user of a data directory. Zeroed, then the first three fields set, then bench_open. */
struct bench {
    const char *data;
    const char *vfs;
    const struct io *io;
    struct log *log;
    struct registry *r;
    char session[UPLOAD_ID_LEN + 1];  /* of OP_BEGIN */
    uint64_t session_size;            /* bytes of it that were acknowledged */
    char broken[UPLOAD_ID_LEN + 1];   /* session of a push that failed; op_retry goes on with it */
    uint64_t broken_size;
    char why[512];                    /* what the last failed check found */
};

enum err bench_open(struct bench *b, bool create);
void bench_close(struct bench *b);

/* Perform op. Where it is one, the operation's refusal is handed on. */
enum err op_run(struct bench *b, const struct op *op);
/* Perform op again after it failed, as a client does who tries again: a broken session is
 * resumed where it is, and what turns out to be done already counts as done. */
enum err op_retry(struct bench *b, const struct op *op);

/* Read the world of an open registry. false: something served is wrong (b->why says what): other
 * bytes than the digest says, a tag or an index or an image that leads to missing content, a list
 * that disagrees with what can be pulled, totals that are wrong, a damaged catalogue. */
bool observe(struct bench *b, struct world *out);

/* Check what lies on the disk beside the catalogue: each file under blobs/ hashes to its name, what
 * w has is there, the directory is an image layout whose index.json is whole. */
enum {
    FILES_NONE_LEFT = 1, /* also: no file in blobs/ that w does not need, and none in trash/ */
    FILES_INDEX = 2      /* also: index.json lists exactly w, as it must after layout_sync */
};
bool check_files(struct bench *b, const struct world *w, unsigned more);
/* Files under uploads/. */
int count_uploads(const char *data);
int count_fds(void);

/* Copy a data directory as it is, without -shm: what another machine would find. */
void copy_data(const char *from, const char *to);
void remove_data(const char *path);
/* Make a folder of this process's own on a file system in memory: thousands of data directories are made
 * and read in it. Those of earlier runs that were killed go. The caller removes it. */
enum { MEMORY_FOLDER_MAX = 64 };
bool memory_folder(char out[MEMORY_FOLDER_MAX]);

#endif
