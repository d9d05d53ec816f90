/* fault.h - a disk that fails when it is told to: a struct io and a SQLite VFS that count
 * every call and make the n-th one fail.
 *
 * Both count together, so that one loop over n walks through a whole operation, files and
 * catalogue alike. One thread at a time; one struct fault per process (a VFS has a name).
 *
 *     fault_init -> hand f.io and f.vfs to what is tested
 *     fault_arm(nth) -> operation -> fault_disarm: did it fire?
 */
#ifndef BERTH_TESTS_FAULT_H
#define BERTH_TESTS_FAULT_H

#include <stdbool.h>

#include "base/io.h"

#define FAULT_VFS "berth-fault"

enum fault_kind {
    FAULT_EIO,   /* any call may fail */
    FAULT_FULL,  /* ENOSPC: only calls that need room fail; a write leaves half of its bytes */
    FAULT_SHORT  /* nothing fails: a read or write through struct io does half of what it was asked */
};

struct fault {
    struct io io;
    const char *vfs;
    /* set by fault_arm */
    enum fault_kind kind;
    unsigned long nth;    /* 1: the first call that could fail */
    bool lasting;         /* all calls from the n-th on */
    bool armed;
    /* what happened since */
    unsigned long calls;  /* that could have failed */
    unsigned long failed;
    const char *what;     /* the first call that failed */
    bool sync_failed;     /* it was an fsync or fdatasync through struct io */
};

void fault_init(struct fault *f);
void fault_end(struct fault *f);
void fault_arm(struct fault *f, enum fault_kind kind, unsigned long nth, bool lasting);
bool fault_disarm(struct fault *f); /* true: at least one call failed */

#endif
