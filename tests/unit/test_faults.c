/* Every disk call fails once, and from each one on: what was acknowledged is there, what was refused
 * is wholly there or wholly absent, and the registry goes on without a restart.
 *
 * Each operation of the workload is repeated from the same data directory with the 1st, 2nd, 3rd...
 * call failing, until it needs fewer calls than that. BERTH_FULL=1 in the environment looks more
 * often. BERTH_TEST_LOG=1 shows what is logged.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "t.h"
#include "workload.h"

struct sweep {
    struct t *t;
    struct fault f;
    struct log log;
    char dir[MEMORY_FOLDER_MAX];
    char base[128], run[128], crash[128];
    enum fault_kind kind;
    bool lasting;
    bool full;           /* BERTH_FULL=1: leave nothing out */
    unsigned long cases;
};

struct worlds {
    struct world w[WORLDS_MAX];
    size_t count;
};

static void sweep_begin(struct sweep *s, struct t *t, enum fault_kind kind, bool lasting)
{
    memset(s, 0, sizeof *s);
    s->t = t;
    s->kind = kind;
    s->lasting = lasting;
    s->full = getenv("BERTH_FULL") != NULL;
    CHECK(memory_folder(s->dir));
    snprintf(s->base, sizeof s->base, "%s/base", s->dir);
    snprintf(s->run, sizeof s->run, "%s/run", s->dir);
    snprintf(s->crash, sizeof s->crash, "%s/crash", s->dir);
    log_init(&s->log, 2, getenv("BERTH_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    items_make();
    fault_init(&s->f);
}

static void sweep_end(struct sweep *s)
{
    fault_end(&s->f);
    items_free();
    remove_data(s->dir);
}

static struct bench bench_of(struct sweep *s, const char *data)
{
    return (struct bench){ .data = data, .vfs = s->f.vfs, .io = &s->f.io, .log = &s->log };
}

/* The world of b must be one that may be; sure: the last of them. */
static bool expect(struct sweep *s, struct bench *b, const char *when, const struct worlds *may, bool sure,
                   struct world *got)
{
    struct t *t = s->t;
    char diff[300];

    if (!observe(b, got)) {
        t_fail(t, __FILE__, __LINE__, "%s: %s", when, b->why);
        return false;
    }
    for (size_t i = sure ? may->count - 1 : 0; i < may->count; i++)
        if (world_eq(got, &may->w[i]))
            return true;
    world_diff(&may->w[may->count - 1], got, diff, sizeof diff);
    t_fail(t, __FILE__, __LINE__, "%s: %s", when, diff);
    return false;
}

/* Is e a truthful answer to an operation that met the fault? A disk that fails must never be told
 * as "there is no such thing". */
static bool truthful(const struct sweep *s, const struct op *op, enum err e)
{
    if (e == ERR_OK || e == op->refused)
        return true;
    return s->kind == FAULT_FULL ? e == ERR_NO_SPACE : e >= ERR_FAULT_FIRST;
}

/* Sessions that were acknowledged are where they were, or gone; never at another place. Only a
 * disk that fails for good may keep bytes of the last write, which nobody was told of. */
static void check_session(struct sweep *s, struct bench *b, const struct op *op, const char *id,
                          uint64_t size)
{
    struct t *t = s->t;
    uint64_t got = 0;
    enum err e;

    if (!id[0])
        return;
    e = registry_upload_stat(b->r, repo_names[op->repo], id, &got);
    CHECK(e == ERR_OK || e == ERR_UPLOAD_UNKNOWN);
    if (!e && s->lasting && s->kind == FAULT_EIO)
        CHECK(got >= size);
    else if (!e)
        CHECK_INT(got, size);
}

/* One case. false: the n-th call does not exist; the operation went through, and run/ is the
 * base of the next one. */
static bool one_case(struct sweep *s, const struct op *op, unsigned long nth, const struct bench *start,
                     struct bench *done, const struct worlds *may)
{
    struct t *t = s->t;
    struct bench b = bench_of(s, s->run), c = bench_of(s, s->crash);
    struct world got;
    int fds = count_fds(), uploads;
    bool fired, sure;
    char text[200];
    enum err e;

    op_format(op, text, sizeof text);
    remove_data(s->run);
    copy_data(s->base, s->run);
    uploads = count_uploads(s->run);
    memcpy(b.session, start->session, sizeof b.session);
    b.session_size = start->session_size;
    t_note(t, "%s, before call %lu", text, nth);
    if ((e = bench_open(&b, false))) {
        t_fail(t, __FILE__, __LINE__, "open: %s", err_text(e));
        return false;
    }
    fault_arm(&s->f, s->kind, nth, s->lasting);
    e = op_run(&b, op);
    fired = s->f.failed > 0;
    t_note(t, "%s, call %lu%s (%s) fails, result: %s", text, nth, s->lasting ? " and all that follow" : "",
           s->f.what, err_text(e));
    /* A full disk serves what it has. */
    if (fired && s->lasting && s->kind == FAULT_FULL && b.r)
        expect(s, &b, "while the disk is full", may, e == ERR_OK, &got);
    fault_disarm(&s->f);
    s->cases++;
    if (!fired || s->kind == FAULT_SHORT)
        CHECK(e == op->refused);
    CHECK(truthful(s, op, e));
    CHECK(!(s->f.sync_failed && e == ERR_OK && !op->refused && op->kind != OP_CHECKPOINT));
    sure = e == ERR_OK;

    if (b.r)
        expect(s, &b, "on the same handle", may, sure, &got);
    if (fired) {
        /* As if the process had been killed here. */
        copy_data(s->run, s->crash);
        if ((e = bench_open(&c, true)))
            t_fail(t, __FILE__, __LINE__, "open after a kill: %s", err_text(e));
        else if (expect(s, &c, "after a kill", may, sure, &got) && !check_files(&c, &got, 0))
            t_fail(t, __FILE__, __LINE__, "after a kill: %s", c.why);
        if (c.r) {
            check_session(s, &c, op, b.broken, b.broken_size);
            if (op->kind != OP_FINISH)
                check_session(s, &c, &(struct op){ .repo = 2 }, b.session, b.session_size);
        }
        bench_close(&c);
        remove_data(s->crash);
        if (!sure) {
            b.why[0] = '\0';
            e = op_retry(&b, op);
            if (e != op->refused)
                t_fail(t, __FILE__, __LINE__, "again, without a fault: %s %s", err_text(e), b.why);
        }
        if (b.r && (s->full || nth % 4 == 0))
            expect(s, &b, "after it was done again", may, true, &got);
    }
    bench_close(&b);
    CHECK_INT(count_fds(), fds);
    if ((e = bench_open(&b, false)))
        t_fail(t, __FILE__, __LINE__, "open again: %s", err_text(e));
    else if (expect(s, &b, "after opening again", may, true, &got) &&
             !check_files(&b, &got, FILES_NONE_LEFT | (op->kind == OP_LAYOUT_SYNC ? FILES_INDEX : 0u)))
        t_fail(t, __FILE__, __LINE__, "after opening again: %s", b.why);
    bench_close(&b);
    /* A session that was handed out and broken off stays until it expires; no other file may. */
    if (op->kind == OP_BEGIN || op->kind == OP_FINISH)
        uploads += op->kind == OP_BEGIN ? 1 : -1;
    if (strcmp(s->f.what, "unlinkat") != 0 && !(s->lasting && s->kind == FAULT_EIO))
        CHECK(count_uploads(s->run) == uploads || (fired && op->kind == OP_BEGIN));
    *done = b;
    return fired && !t_failed(t);
}

/* The operations of one part of several: k % parts == part. The others are only performed. */
static void sweep_part(struct t *t, enum fault_kind kind, bool lasting, size_t part, size_t parts)
{
    struct sweep s;
    struct bench now, done;
    struct world world;
    unsigned long step, nth;
    enum err e;

    sweep_begin(&s, t, kind, lasting);
    now = bench_of(&s, s.base);
    if ((e = bench_open(&now, true)))
        t_fail(t, __FILE__, __LINE__, "first open: %s", err_text(e));
    bench_close(&now);
    world_init(&world);
    for (size_t k = 0; k < workload_len && !t_failed(t); k++) {
        struct worlds may;

        may.count = op_worlds(&workload[k], &world, may.w);
        /* Each call fails once, and each is the first to find the disk full. The two other ways
         * differ from these in how an operation cleans up after itself: some of the calls are
         * enough to see that, other ones for each operation. */
        step = 1;
        if (!s.full && kind == (lasting ? FAULT_EIO : FAULT_FULL))
            step = 3;
        nth = k % parts == part ? 1 + k % step : ULONG_MAX;
        while (one_case(&s, &workload[k], nth, &now, &done, &may))
            nth += step;
        if (t_failed(t))
            break;
        now = done;
        world = may.w[may.count - 1];
        remove_data(s.base);
        if (rename(s.run, s.base))
            t_fail(t, __FILE__, __LINE__, "rename");
    }
    printf("# part %zu of %zu: %lu failures tried\n", part + 1, parts, s.cases);
    CHECK(t_failed(t) || s.cases > workload_len / 2);
    sweep_end(&s);
}

/* The parts run at the same time, each in a process and a folder of its own. */
static void sweep_workload(struct t *t, enum fault_kind kind, bool lasting)
{
    enum { PARTS_MAX = 4 };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t parts = cores < 1 ? 1 : cores > PARTS_MAX ? PARTS_MAX : (size_t)cores;
    pid_t pids[PARTS_MAX];

    fflush(stdout);
    for (size_t i = 0; i < parts; i++) {
        if ((pids[i] = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            alarm(T_TIMEOUT_SECONDS);
            sweep_part(t, kind, lasting, i, parts);
            exit(t_failed(t) ? 1 : 0);
        }
        CHECK(pids[i] > 0);
    }
    for (size_t i = 0; i < parts; i++) {
        int status = -1;

        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void a_call_that_fails_once_leaves_all_or_nothing(struct t *t)
{
    sweep_workload(t, FAULT_EIO, false);
}

static void a_disk_that_fails_from_some_moment_on_leaves_all_or_nothing(struct t *t)
{
    sweep_workload(t, FAULT_EIO, true);
}

static void a_disk_that_is_full_for_a_moment_is_told_as_that(struct t *t)
{
    sweep_workload(t, FAULT_FULL, false);
}

static void a_disk_that_is_full_serves_and_takes_again_when_there_is_room(struct t *t)
{
    sweep_workload(t, FAULT_FULL, true);
}

static void one_short_read_or_write_changes_nothing(struct t *t)
{
    sweep_workload(t, FAULT_SHORT, false);
}

static void short_reads_and_writes_change_nothing(struct t *t)
{
    sweep_workload(t, FAULT_SHORT, true);
}

/* The first start of all, cut off by each fault in turn: the next one works. */
static void a_first_start_that_fails_can_be_repeated(struct t *t)
{
    static const struct { enum fault_kind kind; bool lasting; } how[] = {
        { FAULT_EIO, false }, { FAULT_EIO, true }, { FAULT_FULL, false }, { FAULT_FULL, true },
    };
    struct sweep s;

    for (size_t i = 0; i < sizeof how / sizeof *how && !t_failed(t); i++) {
        bool fired = true;

        sweep_begin(&s, t, how[i].kind, how[i].lasting);
        for (unsigned long nth = 1; fired && !t_failed(t); nth++) {
            struct bench b = bench_of(&s, s.run);
            struct worlds empty = { .count = 1 };
            struct world got;
            int fds = count_fds();
            enum err e;

            world_init(&empty.w[0]);
            remove_data(s.run);
            fault_arm(&s.f, how[i].kind, nth, how[i].lasting);
            e = bench_open(&b, true);
            fired = fault_disarm(&s.f);
            t_note(t, "first start, call %lu (%s) fails, result: %s", nth, s.f.what, err_text(e));
            CHECK(fired || e == ERR_OK);
            CHECK(truthful(&s, &(struct op){ .kind = OP_REOPEN }, e));
            bench_close(&b);
            CHECK_INT(count_fds(), fds);
            if ((e = bench_open(&b, true)))
                t_fail(t, __FILE__, __LINE__, "the next start: %s", err_text(e));
            else if (expect(&s, &b, "the next start", &empty, true, &got) &&
                     !check_files(&b, &empty.w[0], FILES_NONE_LEFT | FILES_INDEX))
                t_fail(t, __FILE__, __LINE__, "the next start: %s", b.why);
            bench_close(&b);
            s.cases++;
        }
        CHECK(t_failed(t) || s.cases > 10);
        sweep_end(&s);
    }
}

/* ---- reading ---- */

static enum err read_blob(struct bench *b)
{
    uint64_t size = 0;
    int fd = -1;
    enum err e = registry_blob_open(b->r, repo_names[0], &items[I_BIG].digest, &fd, &size);

    if (!e)
        b->io->close(b->io, fd);
    return !e && size != items[I_BIG].len ? ERR_SIZE_INVALID : e;
}

static enum err read_blob_stat(struct bench *b)
{
    uint64_t size = 0;

    return registry_blob_stat(b->r, repo_names[1], &items[I_APP].digest, &size);
}

static enum err read_tag(struct bench *b)
{
    struct reference ref = { .tag = "latest" };
    struct catalog_manifest m;
    int fd = -1;
    enum err e = registry_manifest_open(b->r, repo_names[0], &ref, &m, &fd);

    if (!e)
        b->io->close(b->io, fd);
    return !e && !digest_eq(&m.digest, &items[I_IMAGE2].digest) ? ERR_DIGEST_INVALID : e;
}

static enum err read_digest(struct bench *b)
{
    struct reference ref = { .is_digest = true, .digest = items[I_IMAGE].digest };
    struct catalog_manifest m;

    return registry_manifest_open(b->r, repo_names[0], &ref, &m, NULL);
}

static enum err count_name(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return ERR_OK;
}

static enum err count_tag(void *arg, const struct catalog_tag *tag)
{
    (void)tag;
    ++*(int *)arg;
    return ERR_OK;
}

static enum err count_referrer(void *arg, const struct catalog_manifest *m, const char *annotations)
{
    (void)m;
    (void)annotations;
    ++*(int *)arg;
    return ERR_OK;
}

/* A list that breaks off must not look like a short list. */
static enum err counted(enum err e, int got, int want)
{
    return !e && got != want ? ERR_NOT_FOUND : e;
}

static enum err read_repos(struct bench *b)
{
    int n = 0;
    enum err e = catalog_repo_foreach(registry_catalog(b->r), NULL, 100, count_name, &n);

    return counted(e, n, 2);
}

static enum err read_tags(struct bench *b)
{
    int n = 0;
    enum err e = catalog_tag_foreach(registry_catalog(b->r), repo_names[0], NULL, 100, count_tag, &n);

    return counted(e, n, 4);
}

static enum err read_referrers(struct bench *b)
{
    int n = 0;
    enum err e = catalog_referrer_foreach(registry_catalog(b->r), repo_names[0], &items[I_IMAGE].digest, NULL,
                                          NULL, 100, count_referrer, &n);

    return counted(e, n, 1);
}

static enum err read_session(struct bench *b)
{
    uint64_t size = 0;
    enum err e = registry_upload_stat(b->r, repo_names[2], b->session, &size);

    return !e && size != b->session_size ? ERR_RANGE : e;
}

static enum err read_resume(struct bench *b)
{
    struct upload *up = NULL;
    enum err e = registry_upload_resume(&up, b->r, repo_names[2], b->session);

    if (!e && upload_size(up) != b->session_size)
        e = ERR_RANGE;
    upload_close(up);
    return e;
}

static enum err read_usage(struct bench *b)
{
    struct catalog_usage usage;
    enum err e = catalog_usage_get(registry_catalog(b->r), &usage);

    return !e && usage.tags != 5 ? ERR_NOT_FOUND : e;
}

/* "It is not here" is an answer that clients act on: a disk that cannot be read must not give it. */
static void a_read_that_fails_is_never_told_as_absent(struct t *t)
{
    static const struct { const char *name; enum err (*run)(struct bench *b); } reads[] = {
        { "blob", read_blob }, { "blob stat", read_blob_stat }, { "manifest by tag", read_tag },
        { "manifest by digest", read_digest }, { "repositories", read_repos }, { "tags", read_tags },
        { "referrers", read_referrers }, { "session", read_session }, { "session resumed", read_resume },
        { "usage", read_usage },
    };
    struct sweep s;
    struct bench b;
    enum err e;

    sweep_begin(&s, t, FAULT_EIO, false);
    b = bench_of(&s, s.base);
    if ((e = bench_open(&b, true)))
        t_fail(t, __FILE__, __LINE__, "open: %s", err_text(e));
    for (size_t k = 0; !e && workload[k].kind != OP_LAYOUT_SYNC; k++)
        if ((e = op_run(&b, &workload[k])) == workload[k].refused)
            e = ERR_OK;
    CHECK(e == ERR_OK);
    bench_close(&b);
    for (size_t i = 0; i < sizeof reads / sizeof *reads && !t_failed(t); i++) {
        bool fired = true;

        for (unsigned long nth = 1; fired && !t_failed(t); nth++) {
            int fds = count_fds();

            if ((e = bench_open(&b, false))) {
                t_fail(t, __FILE__, __LINE__, "open: %s", err_text(e));
                break;
            }
            fault_arm(&s.f, FAULT_EIO, nth, false);
            e = reads[i].run(&b);
            fired = fault_disarm(&s.f);
            s.cases++;
            t_note(t, "%s, call %lu (%s) fails, result: %s", reads[i].name, nth, s.f.what, err_text(e));
            CHECK(e == ERR_OK || (fired && e >= ERR_FAULT_FIRST));
            CHECK(reads[i].run(&b) == ERR_OK);
            bench_close(&b);
            CHECK_INT(count_fds(), fds);
        }
    }
    CHECK(t_failed(t) || s.cases > 50);
    sweep_end(&s);
}

T_MAIN(T(a_first_start_that_fails_can_be_repeated),
       T(a_call_that_fails_once_leaves_all_or_nothing),
       T(a_disk_that_fails_from_some_moment_on_leaves_all_or_nothing),
       T(a_disk_that_is_full_for_a_moment_is_told_as_that),
       T(a_disk_that_is_full_serves_and_takes_again_when_there_is_room),
       T(a_read_that_fails_is_never_told_as_absent),
       T(one_short_read_or_write_changes_nothing),
       T(short_reads_and_writes_change_nothing))
