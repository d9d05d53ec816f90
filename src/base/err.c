/* The phrases are for people: the log and the command line. What a client of the
 * registry sees is a table of its own, in api/.
 */
#include "base/err.h"

#include <stddef.h>

static const char *const texts[ERR_COUNT] = {
    [ERR_OK] = "ok",
    [ERR_NAME_INVALID] = "invalid repository name",
    [ERR_NAME_UNKNOWN] = "no such repository",
    [ERR_TAG_INVALID] = "invalid tag",
    [ERR_BLOB_UNKNOWN] = "no such blob",
    [ERR_UPLOAD_UNKNOWN] = "no such upload",
    [ERR_MANIFEST_UNKNOWN] = "no such manifest",
    [ERR_MANIFEST_INVALID] = "invalid manifest",
    [ERR_MANIFEST_BLOB_UNKNOWN] = "manifest names unknown content",
    [ERR_DIGEST_INVALID] = "digest is invalid or does not match the content",
    [ERR_SIZE_INVALID] = "length does not match the content",
    [ERR_RANGE] = "out of order",
    [ERR_OUTSIDE] = "outside of the content",
    [ERR_DENIED] = "denied",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_INVALID] = "invalid",
    [ERR_NOT_FOUND] = "not found",
    [ERR_METHOD] = "method not allowed",
    [ERR_TOO_LARGE] = "too large",
    [ERR_TOO_MANY] = "too many",
    [ERR_IN_USE] = "in use",
    [ERR_BUSY] = "busy",
    [ERR_TIMEOUT] = "timed out",
    [ERR_GONE] = "the peer left",
    [ERR_EXISTS] = "already exists",
    [ERR_NO_SPACE] = "no space left",
    [ERR_NO_MEMORY] = "out of memory",
    [ERR_IO] = "input/output error",
    [ERR_CORRUPT] = "stored data is damaged",
};

const char *err_text(enum err e)
{
    if ((unsigned)e >= ERR_COUNT || texts[e] == NULL)
        return "unknown error";
    return texts[e];
}
