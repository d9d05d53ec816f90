/* etag.h - entity tags: the If-None-Match request header. */
#ifndef BERTH_OCI_ETAG_H
#define BERTH_OCI_ETAG_H

#include <stdbool.h>

/* Does an If-None-Match value (RFC 9110, 13.1.2) name this entity tag (without
 * quotes)? Weak comparison; "*" names all. */
bool etag_matches(const char *header, const char *etag);

#endif
