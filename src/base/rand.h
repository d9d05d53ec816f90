/* rand.h - random bytes from the kernel, fit for secrets and unguessable names. */
#ifndef BERTH_BASE_RAND_H
#define BERTH_BASE_RAND_H

#include <stddef.h>

#include "base/err.h"
#include "base/log.h"

/* Fill p. Waits, on a board at its first boot, until the kernel has gathered entropy.
 * ERR_IO: the kernel has none to give (logged). */
enum err rand_bytes(void *p, size_t len, struct log *log);

/* len random bytes as 2 * len lower-case hex digits and a NUL; len is at most RAND_HEX_MAX. */
#define RAND_HEX_MAX 32
enum err rand_hex(char *out, size_t len, struct log *log);

#endif
