/* getrandom(2), which gives short or interrupted reads only for requests far larger than ours.
 */
#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

enum err rand_bytes(void *p, size_t len, struct log *log)
{
    char *to = p;

    while (len > 0) {
        ssize_t n = getrandom(to, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return log_fail(log, ERR_IO, "random bytes: %s", strerror(errno));
        to += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err rand_hex(char *out, size_t len, struct log *log)
{
    uint8_t r[RAND_HEX_MAX];
    enum err e;

    assert(len <= sizeof r);
    if ((e = rand_bytes(r, len, log)))
        return e;
    str_hex(out, r, len);
    return ERR_OK;
}
