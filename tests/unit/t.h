/* t.h - a small test framework: a test is a function, a table makes a program of them.
 *
 *     static void an_empty_name_is_refused(struct t *t)
 *     {
 *         CHECK(name_check("") == ERR_NAME_INVALID);
 *     }
 *
 *     T_MAIN(T(an_empty_name_is_refused),
 *            T_CONCURRENT(two_writers_take_turns))
 *
 * Each test runs in a process of its own, so one that crashes, hangs, leaks or exits fails alone.
 * The program prints "ok NAME" or "not ok NAME" for each and exits with 1 when one failed.
 * Arguments: names of the tests to run; --concurrent: only the tests marked so, which the thread
 * sanitizer runs too; --no-fork: in this process, for a debugger; --list.
 * A .c file in tests/unit/ with T_MAIN is a program t_FILE, one without is linked to all of them.
 */
#ifndef BERTH_TESTS_T_H
#define BERTH_TESTS_T_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct t;

struct t_case {
    const char *name;
    void (*run)(struct t *t);
    bool concurrent;
};

enum { T_TIMEOUT_SECONDS = 900 };

/* Record a failure and go on. They expect the test's "struct t *t" in scope. */
#define CHECK(cond) ((cond) ? (void)0 : t_fail(t, __FILE__, __LINE__, "%s", #cond))
#define CHECK_INT(got, want) t_check_int(t, __FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))
#define CHECK_STR(got, want) t_check_str(t, __FILE__, __LINE__, #got, (got), (want))

/* The same, then end the function: what follows makes no sense without it. */
#define REQUIRE(cond) \
    do { \
        if (!(cond)) { \
            t_fail(t, __FILE__, __LINE__, "%s", #cond); \
            return; \
        } \
    } while (0)

#define T(function) { #function, function, false }
#define T_CONCURRENT(function) { #function, function, true }
#define T_MAIN(...) \
    int main(int argc, char **argv) \
    { \
        static const struct t_case cases[] = { __VA_ARGS__, { NULL, NULL, false } }; \
        return t_main(argc, argv, cases); \
    }

/* An empty folder of the test's own; it and all in it go when the test ends. */
const char *t_dir(const struct t *t);

/* What the checks that follow are about ("row 3: a..b"), shown with their failures. "" ends it. */
void t_note(struct t *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True when a check has failed: for a loop that would fail a thousand times more. */
bool t_failed(const struct t *t);

void t_fail(struct t *t, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void t_check_int(struct t *t, const char *file, int line, const char *what, intmax_t got, intmax_t want);
void t_check_str(struct t *t, const char *file, int line, const char *what, const char *got,
                 const char *want);
int t_main(int argc, char **argv, const struct t_case *cases);

#endif
