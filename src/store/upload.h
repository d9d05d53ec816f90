/* upload.h - upload sessions: bytes that arrive before their digest is proven.
 *
 * A session is one file under uploads/, hashed as it grows, so that ending it needs no
 * second read of the disk. Its state between requests is the file itself; the running hash
 * of the most recent UPLOAD_HASHES_MAX sessions is remembered in memory, and after a
 * restart (or when forgotten, or when another algorithm is asked for) the file is read again.
 * One handle at a time, over all processes; any thread. After a power cut the tail of a
 * session may hold other bytes than arrived: proving it finds that out.
 *
 *     upload_begin | upload_resume -> upload_append ... -> upload_prove -> upload_publish
 *     upload_close ends every path; it keeps the bytes of an unfinished session
 */
#ifndef BERTH_STORE_UPLOAD_H
#define BERTH_STORE_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/digest.h"
#include "store/store.h"

#define UPLOAD_ID_LEN     36  /* a UUID: distribution-spec, "Pushing a blob in chunks" */
#define UPLOAD_HASHES_MAX 256 /* sessions whose running hash stays in memory between requests */

struct upload;

/* Start an empty session that belongs to owner (any text; only a resume with the same owner finds it).
 * The caller closes *out. ERR_NO_SPACE: no room for a new file. */
enum err upload_begin(struct upload **out, struct store *s, const char *owner, enum digest_alg alg);

/* Reopen the session with this id. The caller closes *out.
 * ERR_UPLOAD_UNKNOWN: never begun, ended or expired, or of another owner. ERR_BUSY: it is open. */
enum err upload_resume(struct upload **out, struct store *s, const char *owner, const char *id);

/* The size of a session without opening it; works while it is open elsewhere. */
enum err upload_stat(struct store *s, const char *owner, const char *id, uint64_t *size);

const char *upload_id(const struct upload *up); /* a UUID, UPLOAD_ID_LEN characters */
uint64_t upload_size(const struct upload *up);  /* bytes received so far */

/* So many more bytes are coming: claim room for them now, so that a full disk is
 * told before the bytes travel. ERR_NO_SPACE. */
enum err upload_expect(struct upload *up, uint64_t more);

/* Add len bytes at the end; p stays the caller's. On failure the size is as before, but after
 * ERR_NO_SPACE the session is cancelled: its room is needed. */
enum err upload_append(struct upload *up, const void *p, size_t len);

/* Take bytes at the end away, down to size. On failure the session is cancelled: what it holds is not
 * known. */
enum err upload_truncate(struct upload *up, uint64_t size);

/* Read len bytes from off on; they must have been received. */
enum err upload_read(struct upload *up, void *p, size_t len, uint64_t off);

/* The bytes are want, and are on the disk: from here on only a rename is missing.
 * ERR_DIGEST_INVALID: the bytes hash to something else; the session is as before. */
enum err upload_prove(struct upload *up, const struct digest *want);

/* Make the proven bytes the blob, durably, and end the session: rename into blobs/, fsync of the
 * folder. An existing file of the same name is replaced (by the same bytes). */
enum err upload_publish(struct upload *up);

void upload_cancel(struct upload *up); /* the bytes go when it is closed */
void upload_close(struct upload *up);  /* NULL is allowed */

/* Remove the sessions that nobody has open and that have not grown since before (Unix milliseconds). A
 * walk of uploads/: not at start-up. */
enum err upload_sweep(struct store *s, int64_t before, uint64_t *removed);

#endif
