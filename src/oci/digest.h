/* digest.h - content digests (OCI image-spec, "Digests") and hashing.
 *
 * A digest is a plain value: copy it, compare it with digest_eq. mbedTLS hides
 * behind this header.
 */
#ifndef BERTH_OCI_DIGEST_H
#define BERTH_OCI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum digest_alg { DIGEST_SHA256, DIGEST_SHA512, DIGEST_ALG_COUNT };

#define DIGEST_BYTES_MAX 64
#define DIGEST_HEX_MAX   128
#define DIGEST_TEXT_MAX  (7 + DIGEST_HEX_MAX) /* "sha512:" and the hex, without NUL */

struct digest {
    enum digest_alg alg;
    uint8_t bytes[DIGEST_BYTES_MAX]; /* the first digest_bytes(alg) count, the rest are 0 */
};

/* "sha256" or "sha512". */
const char *digest_alg_name(enum digest_alg alg);
enum err digest_alg_parse(const char *s, size_t len, enum digest_alg *out); /* ERR_UNSUPPORTED */
size_t digest_bytes(enum digest_alg alg);

/* "alg:hex" with lower-case hex of the algorithm's length, nothing before or after.
 * ERR_DIGEST_INVALID: not of that form. ERR_UNSUPPORTED: well-formed by the
 * specification's grammar, but of an algorithm that is not supported. */
enum err digest_parse(const char *s, size_t len, struct digest *out);
void digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX + 1]);
void digest_hex(const struct digest *d, char out[DIGEST_HEX_MAX + 1]);
bool digest_eq(const struct digest *a, const struct digest *b);

/* A running hash. A plain value of a size known here, so that a session can keep
 * it without an allocation; opaque all the same. */
struct hasher {
    enum digest_alg alg;
    _Alignas(16) unsigned char state[384];
};

/* These cannot fail. */
void hasher_init(struct hasher *h, enum digest_alg alg);
void hasher_update(struct hasher *h, const void *p, size_t len);
void hasher_finish(struct hasher *h, struct digest *out); /* h must be initialised anew after */
void digest_of(enum digest_alg alg, const void *p, size_t len, struct digest *out);

#endif
