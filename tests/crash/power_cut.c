/* A power cut at every moment.
 *
 * A workload runs over a recording disk (record.h), with marks in the record that say what has been
 * acknowledged. Then, for each point of the record, the folders that a power cut may leave there
 * (disk.h) are made, opened as a start would open them, and read to the last byte:
 *   everything acknowledged is there, and nothing that was refused or never asked for;
 *   nothing served has other bytes than its digest says;
 *   it opens, without repair;
 *   it is an image layout, and no file in blobs/ has a wrong name;
 *   it goes on: content can be pushed, tagged and listed again.
 * Of those folders a systematic part is tried at each point and, on top, some chosen by a seed.
 * The same with a sync that fails just before. At the end a disk that lies about its syncs shows that
 * a broken promise would be noticed (--self-test: only that).
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "disk.h"
#include "record.h"
#include "registry/layout.h"
#include "workload.h"

enum { UNTIL_MAX = 12, FAILURES_SHOWN = 5, JOBS_MAX = 16, MARKS_MAX = 256 };

struct options {
    unsigned samples;      /* seeded states at each point */
    uint64_t seed;
    unsigned jobs;
    unsigned go_on_every;  /* one of so many folders is also written to */
    unsigned again_every;  /* one of so many is also cut off while it opens */
    bool full, self_test, list;
    bool few;              /* only the plainest states of a point */
    size_t from, to;       /* of the record; 0: its end */
    bool only;             /* a single state, as a failure printed it */
    size_t only_point;
    struct choice only_choice;
    unsigned only_fail_sync;
    bool keep;             /* the folder of a failure stays */
};

/* From here on in the record, one of these worlds must be found; from "sure" on the last is a fact. */
struct mark {
    struct world may[WORLDS_MAX];
    size_t count;
    char text[200];
    char session[UPLOAD_ID_LEN + 1]; /* open at this time, of repository 2 */
};

struct counts {
    uint64_t points, states, folders, failures;
    uint64_t recovered_points; /* of openings that were themselves cut off */
};

struct seen {
    uint64_t key;
    struct world world;
    bool used;
};

struct sim {
    const struct options *o;
    char dir[128];                    /* of this process, on a file system in memory */
    struct record rec;
    unsigned fail_sync;
    struct mark *marks;
    size_t mark_count;
    struct log log;
    struct seen *seen;
    size_t seen_count, seen_cap;
    struct counts n;
    unsigned job;
    char why[800];
};

/* ---- recording ---- */

static int64_t fixed_ms; /* while recording: the time of day; 0: the real one */

/* In place of the C library's: a workload that finds another time of day each run would lay out the
 * catalogue's pages in another way, and a failure could not be repeated from its point. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (id != CLOCK_REALTIME || !fixed_ms)
        return (int)syscall(SYS_clock_gettime, id, ts);
    fixed_ms++;
    ts->tv_sec = (time_t)(fixed_ms / 1000);
    ts->tv_nsec = (long)(fixed_ms % 1000) * 1000000;
    return 0;
}

static struct mark *mark_new(struct sim *s, const char *text, const struct world *w)
{
    struct mark *m = &s->marks[s->mark_count];

    if (s->mark_count == MARKS_MAX)
        abort();
    memset(m, 0, sizeof *m);
    snprintf(m->text, sizeof m->text, "%s", text);
    m->may[0] = *w;
    m->count = 1;
    record_mark(&s->rec, (int)s->mark_count++);
    return m;
}

static bool record_op(struct sim *s, struct bench *b, const struct op *op, struct world *w)
{
    char text[160], marked[200];
    struct mark *m;
    enum err e;

    op_format(op, text, sizeof text);
    snprintf(marked, sizeof marked, "during: %s", text);
    m = mark_new(s, marked, w);
    m->count = op_worlds(op, w, m->may);
    memcpy(m->session, b->session, sizeof m->session);
    e = op_run(b, op);
    if (e != op->refused && s->rec.syncs >= s->fail_sync && s->fail_sync)
        e = op_retry(b, op); /* the sync that was made to fail; from now on the disk is well */
    if (e != op->refused) {
        snprintf(s->why, sizeof s->why, "%s: %s %s", text, err_text(e), b->why);
        return false;
    }
    op_apply(op, w);
    snprintf(marked, sizeof marked, "acknowledged: %s", text);
    m = mark_new(s, marked, w);
    if (op->kind == OP_FINISH)
        b->session[0] = '\0';
    memcpy(m->session, b->session, sizeof m->session);
    return true;
}

/* Run the workload from the first start on. */
static bool record_workload(struct sim *s, enum record_ignore ignore, unsigned fail_sync)
{
    char root[160], data[200];
    struct bench b = { .data = data, .vfs = RECORD_VFS, .io = &s->rec.io, .log = &s->log };
    struct world w, got;
    bool ok = true;
    enum err e;

    snprintf(root, sizeof root, "%s/disk", s->dir);
    snprintf(data, sizeof data, "%s/data", root);
    remove_data(root);
    if (mkdir(root, 0755))
        abort();
    record_start(&s->rec, root);
    s->rec.ignore = ignore;
    s->rec.fail_sync = s->fail_sync = fail_sync;
    s->mark_count = 0;
    fixed_ms = 1750000000000;
    world_init(&w);
    mark_new(s, "the first start", &w);
    if ((e = bench_open(&b, true)) && fail_sync)
        e = bench_open(&b, true);
    if (e) {
        snprintf(s->why, sizeof s->why, "first start: %s", err_text(e));
        ok = false;
    }
    for (size_t k = 0; ok && k < workload_len; k++)
        ok = record_op(s, &b, &workload[k], &w);
    if (ok && (!observe(&b, &got) || !world_eq(&got, &w))) {
        world_diff(&w, &got, s->why, sizeof s->why);
        ok = false;
    }
    bench_close(&b);
    fixed_ms = 0;
    if (ok && s->rec.strangers) {
        snprintf(s->why, sizeof s->why, "%u changes escaped the record", s->rec.strangers);
        ok = false;
    }
    remove_data(root);
    return ok;
}

/* ---- checking ---- */

static bool fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->why, sizeof s->why, fmt, ap);
    va_end(ap);
    return false;
}

static bool allowed(const struct mark *m, const struct world *w)
{
    for (size_t i = 0; i < m->count; i++)
        if (world_eq(&m->may[i], w))
            return true;
    return false;
}

static bool check_world(struct sim *s, const struct mark *m, const struct world *got)
{
    char diff[300];

    if (allowed(m, got))
        return true;
    world_diff(&m->may[m->count - 1], got, diff, sizeof diff);
    return fail(s, "%s", diff);
}

/* After the cut, life goes on: a new push, the session that was open, the next index.json. */
static bool go_on(struct sim *s, struct bench *b, struct world *w, const char *session)
{
    static const struct op push = { .kind = OP_PUSH, .repo = 1, .item = I_LOOSE };
    static const struct op push2 = { .kind = OP_PUSH, .repo = 1, .item = I_BASE };
    static const struct op sync = { .kind = OP_LAYOUT_SYNC };
    struct world got;
    enum err e;

    if (session[0]) {
        const struct item *it = &items[I_SESSION];
        struct upload *up = NULL;
        size_t at;

        e = registry_upload_resume(&up, b->r, repo_names[2], session);
        if (e && e != ERR_UPLOAD_UNKNOWN)
            return fail(s, "resume after the cut: %s", err_text(e));
        if (!e && upload_size(up) > it->len)
            e = ERR_RANGE;
        at = up && !e ? (size_t)upload_size(up) : 0;
        if (!e && (e = upload_append(up, it->bytes + at, it->len - at)) == ERR_OK) {
            e = registry_upload_commit(b->r, repo_names[2], up, &it->digest);
            /* Bytes that were not synced may be others now: that must be noticed, and it was. */
            if (!e)
                w->has[2][I_SESSION] = true;
            else if (e == ERR_DIGEST_INVALID)
                e = ERR_OK;
        }
        upload_close(up);
        if (e && e != ERR_UPLOAD_UNKNOWN)
            return fail(s, "finish a session after the cut: %s", err_text(e));
    }
    if ((e = op_run(b, &push)) || (e = op_run(b, &push2)) || (e = op_run(b, &sync)))
        return fail(s, "a push after the cut: %s", err_text(e));
    op_apply(&push, w);
    op_apply(&push2, w);
    if (!observe(b, &got))
        return fail(s, "after a push after the cut: %s", b->why);
    if (!world_eq(&got, w)) {
        world_diff(w, &got, s->why, sizeof s->why);
        return false;
    }
    if (!check_files(b, w, FILES_INDEX))
        return fail(s, "after a push after the cut: %s", b->why);
    bench_close(b);
    if ((e = bench_open(b, false)))
        return fail(s, "open again: %s", err_text(e));
    if (!observe(b, &got) || !world_eq(&got, w))
        return fail(s, "opened again, it is another: %s", b->why);
    return true;
}

/* Open what lies in data and look. */
static bool check_folder(struct sim *s, const char *data, const struct mark *m, bool more, struct world *got)
{
    struct bench b = { .data = data, .log = &s->log, .io = &io_posix };
    bool ok = true;
    enum err e;

    if ((e = bench_open(&b, true)))
        return fail(s, "it does not open: %s", err_text(e));
    if (!observe(&b, got))
        ok = fail(s, "%s", b.why);
    else if (!check_world(s, m, got))
        ok = false;
    else if (!check_files(&b, got, 0))
        ok = fail(s, "%s", b.why);
    if (ok && more) {
        struct world w = *got;

        ok = go_on(s, &b, &w, m->session);
    }
    bench_close(&b);
    return ok;
}

/* The start that follows a power cut is cut off as well, at each of its points. */
static bool check_again(struct sim *s, const char *root, const struct mark *m)
{
    char data[200], again[160], again_data[200];
    struct bench b = { .data = data, .vfs = RECORD_VFS, .log = &s->log };
    struct record *rec = calloc(1, sizeof *rec);
    static const struct choice all[] = {
        { .entries = ENTRIES_NONE, .bytes = BYTES_NONE }, { .entries = ENTRIES_ALL, .bytes = BYTES_NONE },
        { .entries = ENTRIES_ALL, .bytes = BYTES_ZEROS }, { .entries = ENTRIES_ALL, .bytes = BYTES_TORN },
        { .entries = ENTRIES_NONE, .bytes = BYTES_ALL },
    };
    struct disk *d;
    size_t start;
    bool ok = true;
    enum err e;

    if (!rec)
        abort();
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(again, sizeof again, "%s/again", s->dir);
    snprintf(again_data, sizeof again_data, "%s/data", again);
    record_start(rec, root);
    start = rec->count;
    b.io = &rec->io;
    if ((e = bench_open(&b, true)))
        ok = fail(s, "it does not open: %s", err_text(e));
    bench_close(&b);
    d = disk_new(rec);
    while (ok && disk_at(d) < rec->count) {
        disk_step(d);
        if (disk_at(d) < start)
            continue;
        s->n.recovered_points++;
        for (size_t i = 0; ok && i < sizeof all / sizeof *all; i++) {
            struct world got;

            remove_data(again);
            if (mkdir(again, 0755))
                abort();
            disk_build(d, &all[i], again);
            if (!check_folder(s, again_data, m, false, &got)) {
                char why[sizeof s->why];

                memcpy(why, s->why, sizeof why);
                ok = fail(s, "cut again %zu steps into the next start (%d/%d): %s", disk_at(d) - start,
                          (int)all[i].entries, (int)all[i].bytes, why);
            }
        }
    }
    disk_free(d);
    record_end(rec);
    free(rec);
    remove_data(again);
    return ok;
}

/* ---- the states already looked at ---- */

static struct seen *seen_find(struct sim *s, uint64_t key)
{
    if ((s->seen_count + 1) * 2 > s->seen_cap) {
        struct seen *old = s->seen;
        size_t old_cap = s->seen_cap;

        s->seen_cap = old_cap ? old_cap * 2 : 4096;
        s->seen = calloc(s->seen_cap, sizeof *s->seen);
        if (!s->seen)
            abort();
        for (size_t i = 0; i < old_cap; i++)
            if (old[i].used) {
                size_t k = old[i].key % s->seen_cap;

                while (s->seen[k].used)
                    k = (k + 1) % s->seen_cap;
                s->seen[k] = old[i];
            }
        free(old);
    }
    for (size_t k = key % s->seen_cap;; k = (k + 1) % s->seen_cap)
        if (!s->seen[k].used || s->seen[k].key == key)
            return &s->seen[k];
}

static void report(struct sim *s, struct disk *d, const struct choice *c, const struct mark *m)
{
    const struct rec *last = disk_at(d) ? &s->rec.recs[disk_at(d) - 1] : NULL;

    if (s->n.failures++ >= FAILURES_SHOWN)
        return;
    printf("# a power cut loses: %s\n#   at point %zu, %s (last: %d on %s)\n"
           "#   again with: --only %zu:%d:%zu:%d:%" PRIu64 ":%u\n",
           s->why, disk_at(d), m->text, last ? (int)last->kind : -1,
           last ? record_name(&s->rec, last->node) : "", disk_at(d), (int)c->entries,
           c->until, (int)c->bytes, c->seed, s->fail_sync);
    fflush(stdout);
}

/* One state: make it, unless an equal one has been seen, and check it. */
static bool try_state(struct sim *s, struct disk *d, const struct choice *c, const struct mark *m)
{
    char root[160], data[200];
    uint64_t key = disk_key(d, c);
    struct seen *seen;
    bool ok = true;

    s->n.states++;
    if (!s->o->only && key % s->o->jobs != s->job)
        return true;
    seen = seen_find(s, key);
    if (seen->used && !s->o->only) {
        if (check_world(s, m, &seen->world))
            return true;
        report(s, d, c, m);
        return false;
    }
    snprintf(root, sizeof root, "%s/cut", s->dir);
    snprintf(data, sizeof data, "%s/data", root);
    remove_data(root);
    if (mkdir(root, 0755))
        abort();
    disk_build(d, c, root);
    s->n.folders++;
    if (s->o->again_every && mix64(key) / 8 % s->o->again_every == 0) {
        ok = check_again(s, root, m);
        remove_data(root);
        if (mkdir(root, 0755))
            abort();
        disk_build(d, c, root);
    }
    if (s->o->only && s->o->keep) {
        printf("# the folder is %s\n", root);
        return true;
    }
    seen->key = key;
    seen->used = true;
    s->seen_count++;
    if (ok)
        ok = check_folder(s, data, m, s->o->only || mix64(key) % s->o->go_on_every == 0, &seen->world);
    if (!ok)
        report(s, d, c, m);
    return ok;
}

/* All choices at one point of the record. */
static bool try_point(struct sim *s, struct disk *d, const struct mark *m)
{
    static const enum disk_bytes bytes[] = { BYTES_NONE, BYTES_ALL, BYTES_ZEROS, BYTES_TORN };
    size_t pending = disk_pending_entries(d);
    bool ok = true;

    s->n.points++;
    if (s->o->few) {
        for (unsigned i = 0; i < 4; i++) {
            struct choice c = { .entries = i & 1 ? ENTRIES_ALL : ENTRIES_NONE,
                                .bytes = i & 2 ? BYTES_ALL : BYTES_NONE };

            ok &= try_state(s, d, &c, m);
        }
        return ok;
    }
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        if (i && !disk_pending_bytes(d))
            break;
        ok &= try_state(s, d, &(struct choice){ .entries = ENTRIES_NONE, .bytes = bytes[i] }, m);
        if (pending)
            ok &= try_state(s, d, &(struct choice){ .entries = ENTRIES_ALL, .bytes = bytes[i] }, m);
    }
    /* The journal up to each of the newest entries. */
    for (size_t k = pending > UNTIL_MAX ? pending - UNTIL_MAX : 1; k < pending; k++) {
        struct choice c = { .entries = ENTRIES_UNTIL, .until = k, .bytes = BYTES_NONE };

        ok &= try_state(s, d, &c, m);
        c.bytes = BYTES_ALL;
        ok &= try_state(s, d, &c, m);
    }
    for (unsigned k = 0; k < s->o->samples && (pending || disk_pending_bytes(d)); k++) {
        struct choice c = { .entries = k & 1 ? ENTRIES_FREE : ENTRIES_FOLDERS, .bytes = BYTES_FREE,
                            .seed = mix64(s->o->seed ^ mix64(disk_at(d)) ^ k) };

        ok &= try_state(s, d, &c, m);
    }
    return ok;
}

/* Every point of the record. stop: at the first failure. */
static bool try_record(struct sim *s, bool stop)
{
    struct disk *d = disk_new(&s->rec);
    const struct mark *m = NULL;
    bool ok = true;

    s->seen_count = 0;
    if (s->seen)
        memset(s->seen, 0, s->seen_cap * sizeof *s->seen);
    while (disk_at(d) < s->rec.count && (ok || !stop)) {
        const struct rec *rec = &s->rec.recs[disk_at(d)];

        disk_step(d);
        if (rec->kind == REC_MARK)
            m = &s->marks[rec->mark];
        if (!m || disk_at(d) <= s->o->from || (s->o->to && disk_at(d) > s->o->to))
            continue;
        if (!s->o->only)
            ok &= try_point(s, d, m);
        else if (disk_at(d) == s->o->only_point)
            ok &= try_state(s, d, &s->o->only_choice, m);
    }
    disk_free(d);
    return ok;
}

/* ---- the program ---- */

/* Each process takes its share of the states; the counts come back through a pipe. */
static bool in_jobs(struct sim *s, bool (*run)(struct sim *s), bool shared)
{
    int pipes[JOBS_MAX][2];
    pid_t pids[JOBS_MAX];
    struct counts sum = { 0 };
    bool ok = true;

    fflush(stdout);
    for (unsigned j = 0; j < s->o->jobs; j++) {
        if (pipe(pipes[j]) || (pids[j] = fork()) < 0)
            abort();
        if (pids[j] == 0) {
            char dir[128];

            prctl(PR_SET_PDEATHSIG, SIGKILL);
            snprintf(dir, sizeof dir, "%.100s/job%u", s->dir, j);
            memcpy(s->dir, dir, sizeof dir);
            if (mkdir(s->dir, 0755))
                abort();
            s->job = j;
            ok = run(s);
            if (!ok && !s->n.failures)
                printf("# %s\n", s->why);
            if (write(pipes[j][1], &s->n, sizeof s->n) != sizeof s->n)
                ok = false;
            fflush(stdout);
            _exit(ok ? 0 : 1);
        }
        close(pipes[j][1]);
    }
    for (unsigned j = 0; j < s->o->jobs; j++) {
        struct counts n = { 0 };
        int status = 0;
        char dir[160];

        ok &= read(pipes[j][0], &n, sizeof n) == sizeof n;
        close(pipes[j][0]);
        while (waitpid(pids[j], &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status))
            printf("# a process of the simulator was ended by signal %d\n", WTERMSIG(status));
        ok &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
        snprintf(dir, sizeof dir, "%s/job%u", s->dir, j);
        remove_data(dir);
        /* Where the states are shared out, each process counts all of them. */
        sum.points = shared ? n.points : sum.points + n.points;
        sum.states = shared ? n.states : sum.states + n.states;
        sum.folders += n.folders;
        sum.failures += n.failures;
        sum.recovered_points += n.recovered_points;
    }
    s->n = sum;
    return ok;
}

static bool run_all(struct sim *s)
{
    return try_record(s, false);
}

static void say(bool ok, const char *name)
{
    printf("%s %s\n", ok ? "ok" : "not ok", name);
}

static void print_counts(const struct sim *s, int64_t since)
{
    printf("# %" PRIu64 " points, %" PRIu64 " states, %" PRIu64 " different folders opened, %" PRIu64
           " openings cut off again, %.1f s\n",
           s->n.points, s->n.states, s->n.folders, s->n.recovered_points,
           (double)(clock_mono_ms() - since) / 1000);
}

/* The record, a line for each point. */
static bool list(struct sim *s)
{
    static const char *const kinds[] = { "create", "mkdir", "rename", "unlink", "write", "truncate", "sync",
                                         "sync failed", "sync folder", "" };
    bool ok = record_workload(s, IGNORE_NOTHING, 0);

    for (size_t i = 0; i < s->rec.count; i++) {
        const struct rec *rec = &s->rec.recs[i];

        if (rec->kind == REC_MARK)
            printf("%zu == %s\n", i + 1, s->marks[rec->mark].text);
        else
            printf("%zu %s %s%s%s %" PRIu64 " %zu\n", i + 1, kinds[rec->kind],
                   record_name(&s->rec, rec->node), rec->to_name ? " to " : "",
                   rec->to_name ? rec->to_name : "", rec->off, rec->len);
    }
    record_end(&s->rec);
    return ok;
}

static bool main_run(struct sim *s)
{
    int64_t since = clock_mono_ms();
    bool ok = record_workload(s, IGNORE_NOTHING, s->o->only ? s->o->only_fail_sync : 0);

    if (!ok) {
        printf("# %s\n", s->why);
    } else {
        printf("# the workload has %zu operations and changes the disk in %zu steps, %u of them syncs\n",
               workload_len, s->rec.count - s->mark_count, s->rec.syncs);
        ok = in_jobs(s, run_all, true);
    }
    print_counts(s, since);
    say(ok, "what_was_acknowledged_survives_a_power_cut_at_any_point");
    record_end(&s->rec);
    return ok;
}

/* Each sync in turn fails, and what it should have written is lost for good; the operation is told
 * of it and tries again; soon after the power is cut. */
static bool run_failing_syncs(struct sim *s)
{
    const struct options *given = s->o;
    struct options o = *given;
    unsigned job = s->job, step = given->full ? 2 : 7;
    bool ok = true, more = true;

    o.few = true;
    o.again_every = 0;
    o.go_on_every = 50;
    o.jobs = 1; /* this process does all states of the syncs that are its share */
    s->o = &o;
    s->job = 0;
    for (unsigned n = 1 + job * step; more && ok; n += step * given->jobs) {
        ok = record_workload(s, IGNORE_NOTHING, n);
        if (!ok)
            printf("# sync %u fails: %s\n", n, s->why);
        more = s->rec.syncs >= n;
        o.from = s->rec.failed_at;
        o.to = o.from + (given->full ? 100 : 50);
        if (ok && more)
            ok = try_record(s, true);
        record_end(&s->rec);
    }
    s->o = given;
    s->job = job;
    return ok;
}

static bool failing_syncs(struct sim *s)
{
    int64_t since = clock_mono_ms();
    bool ok;

    memset(&s->n, 0, sizeof s->n);
    ok = in_jobs(s, run_failing_syncs, false);
    print_counts(s, since);
    say(ok, "a_sync_that_fails_is_never_taken_for_one_that_worked");
    return ok;
}

/* With a disk that lies, the simulator must find a broken promise. */
static bool self_test(struct sim *s)
{
    const struct options *given = s->o;
    struct options o = *given;
    static const struct { enum record_ignore ignore; const char *name; } lies[] = {
        { IGNORE_UPLOAD_SYNC, "it_is_noticed_when_the_bytes_of_an_upload_are_not_synced" },
        { IGNORE_BLOB_DIR, "it_is_noticed_when_the_blob_folders_are_not_synced" },
        { IGNORE_ROOT_DIR, "it_is_noticed_when_the_data_directory_is_not_synced" },
        { IGNORE_CATALOG, "it_is_noticed_when_the_catalogue_is_not_synced" },
    };
    bool all = true;

    o.jobs = 1;
    s->o = &o;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        bool found = false;

        memset(&s->n, 0, sizeof s->n);
        s->job = 0;
        s->n.failures = FAILURES_SHOWN; /* not a word about them: they are what is wanted */
        if (!record_workload(s, lies[i].ignore, 0)) {
            printf("# %s\n", s->why);
        } else {
            found = !try_record(s, true);
            printf("# %s after %" PRIu64 " states: %s\n", found ? "found" : "not found", s->n.states,
                   found ? s->why : "nothing is wrong");
        }
        record_end(&s->rec);
        say(found, lies[i].name);
        all &= found;
    }
    s->o = given;
    return all;
}

static void usage(void)
{
    puts("usage: crash_power_cut [--full] [--samples N] [--seed N] [--jobs N] [--self-test] [--list]\n"
         "                       [--only POINT:ENTRIES:UNTIL:BYTES:SEED:FAILED_SYNC [--keep]]");
}

static bool parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--full") == 0) {
            o->full = true;
            o->samples = 24;
            o->go_on_every = 2;
            o->again_every = 100;
        } else if (strcmp(argv[i], "--self-test") == 0) {
            o->self_test = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            o->list = true;
        } else if (strcmp(argv[i], "--keep") == 0) {
            o->keep = true;
        } else if (strcmp(argv[i], "--samples") == 0 && value) {
            o->samples = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && value) {
            o->seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--jobs") == 0 && value) {
            o->jobs = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && value) {
            struct choice *c = &o->only_choice;
            int entries = 0, bytes = 0;

            o->only = true;
            if (sscanf(argv[++i], "%zu:%d:%zu:%d:%" SCNu64 ":%u", &o->only_point, &entries, &c->until, &bytes,
                       &c->seed, &o->only_fail_sync) != 6)
                return false;
            c->entries = (enum disk_entries)entries;
            c->bytes = (enum disk_bytes)bytes;
        } else {
            return false;
        }
    }
    if (o->only)
        o->jobs = 1;
    return o->jobs >= 1 && o->jobs <= JOBS_MAX;
}

int main(int argc, char **argv)
{
    struct options o = { .samples = 4, .seed = 1, .jobs = 2, .go_on_every = 25, .again_every = 500 };
    static struct sim s;
    bool ok;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(&o, argc, argv)) {
        usage();
        return 2;
    }
    s.o = &o;
    s.marks = calloc(MARKS_MAX, sizeof *s.marks);
    if (!s.marks || !memory_folder(s.dir)) {
        printf("# cannot make %s: %s\nnot ok a_folder_in_memory\n", s.dir, strerror(errno));
        return 1;
    }
    log_init(&s.log, 2, o.only ? LOG_DEBUG : LOG_OFF);
    items_make();
    if (o.list) {
        ok = list(&s);
    } else if (o.self_test) {
        ok = self_test(&s);
    } else {
        ok = main_run(&s);
        if (!o.only) {
            ok &= failing_syncs(&s);
            ok &= self_test(&s);
        }
    }
    if (!(o.only && o.keep))
        remove_data(s.dir);
    items_free();
    free(s.marks);
    free(s.seen);
    return ok ? 0 : 1;
}
