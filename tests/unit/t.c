/* t.c - runs the table of a test program.
 *
 * The parent makes the test's folder, forks, waits, judges how the child ended, and removes the
 * folder: so that it goes even when the test was killed. Checks may fail in several threads.
 */
#include "t.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTE_BYTES = 256, MESSAGE_BYTES = 4096, FAILURES_SHOWN = 20 };

struct t {
    const struct t_case *test;
    char dir[4096];
    char note[NOTE_BYTES];
    atomic_int failures;
};

const char *t_dir(const struct t *t)
{
    return t->dir;
}

bool t_failed(const struct t *t)
{
    return atomic_load(&t->failures) > 0;
}

void t_note(struct t *t, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(t->note, sizeof t->note, format, ap);
    va_end(ap);
}

void t_fail(struct t *t, const char *file, int line, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    int nth = atomic_fetch_add(&t->failures, 1) + 1;
    va_list ap;

    if (nth > FAILURES_SHOWN)
        return;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    printf("# %s:%d: %s%s%s%s: %s\n", file, line, t->test->name, t->note[0] ? " (" : "", t->note,
           t->note[0] ? ")" : "", message);
    if (nth == FAILURES_SHOWN)
        printf("# %s: further failures are not shown\n", t->test->name);
}

void t_check_int(struct t *t, const char *file, int line, const char *what, intmax_t got, intmax_t want)
{
    if (got != want)
        t_fail(t, file, line, "%s is %" PRIdMAX ", not %" PRIdMAX, what, got, want);
}

void t_check_str(struct t *t, const char *file, int line, const char *what, const char *got,
                 const char *want)
{
    if (!got || !want) {
        if (got != want)
            t_fail(t, file, line, "%s is %s, not %s", what, got ? got : "NULL", want ? want : "NULL");
    } else if (strcmp(got, want) != 0) {
        t_fail(t, file, line, "%s is \"%s\", not \"%s\"", what, got, want);
    }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static bool dir_make(struct t *t)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(t->dir, sizeof t->dir, "%s/berth-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");

    return n > 0 && (size_t)n < sizeof t->dir && mkdtemp(t->dir);
}

static void dir_remove(struct t *t)
{
    if (nftw(t->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        printf("# %s: cannot remove %s: %s\n", t->test->name, t->dir, strerror(errno));
}

/* Run the test in a child; true: it passed. */
static bool run_forked(struct t *t)
{
    int status;
    pid_t pid;

    fflush(stdout);
    if ((pid = fork()) < 0) {
        printf("# fork: %s\n", strerror(errno));
        return false;
    }
    if (pid == 0) {
        alarm(T_TIMEOUT_SECONDS);
        t->test->run(t);
        /* exit(), not _exit(): the leak check runs there. */
        exit(t_failed(t) ? 1 : 0);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            printf("# waitpid: %s\n", strerror(errno));
            return false;
        }
    }
    if (WIFSIGNALED(status))
        printf("# %s: %s\n", t->test->name,
               WTERMSIG(status) == SIGALRM ? "ran out of time" : strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) > 1)
        printf("# %s: ended with code %d\n", t->test->name, WEXITSTATUS(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool run_one(const struct t_case *test, bool forked)
{
    struct t t = { .test = test };
    bool passed;

    if (!dir_make(&t)) {
        printf("# cannot make %s: %s\nnot ok %s\n", t.dir, strerror(errno), test->name);
        return false;
    }
    if (forked) {
        passed = run_forked(&t);
    } else {
        test->run(&t);
        passed = !t_failed(&t);
    }
    dir_remove(&t);
    printf("%s %s\n", passed ? "ok" : "not ok", test->name);
    return passed;
}

static bool wanted(const struct t_case *test, int argc, char **argv)
{
    bool named = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--concurrent") == 0 && !test->concurrent)
            return false;
        if (argv[i][0] == '-')
            continue;
        named = true;
        if (strcmp(argv[i], test->name) == 0)
            return true;
    }
    return !named;
}

int t_main(int argc, char **argv, const struct t_case *cases)
{
    bool forked = true, list = false, failed = false;
    int count = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-fork") == 0) {
            forked = false;
        } else if (strcmp(argv[i], "--list") == 0) {
            list = true;
        } else if (argv[i][0] == '-' && strcmp(argv[i], "--concurrent") != 0) {
            printf("# unknown argument: %s\n", argv[i]);
            return 2;
        }
    }
    for (const struct t_case *test = cases; test->name; test++) {
        if (!wanted(test, argc, argv))
            continue;
        count++;
        if (list)
            printf("%s\n", test->name);
        else if (!run_one(test, forked))
            failed = true;
    }
    printf("# %d of this program's tests %s\n", count, list ? "listed" : "ran");
    return failed ? 1 : 0;
}
