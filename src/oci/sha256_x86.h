/* sha256_x86.h - SHA-256 by the instructions that x86 processors have for it; six times
 * as fast as mbedTLS's C, which has such code for ARM only. Behind digest.h.
 */
#ifndef BERTH_OCI_SHA256_X86_H
#define BERTH_OCI_SHA256_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64 /* bytes */

struct sha256_x86 {
    uint32_t h[8];
    uint64_t len;                /* bytes so far; len % SHA256_BLOCK of them wait in block */
    uint8_t block[SHA256_BLOCK];
};

/* Does this processor have the instructions? Without them, call nothing else here. */
bool sha256_x86_usable(void);

void sha256_x86_init(struct sha256_x86 *s);
void sha256_x86_update(struct sha256_x86 *s, const uint8_t *p, size_t len);
void sha256_x86_finish(struct sha256_x86 *s, uint8_t out[32]);

#endif
