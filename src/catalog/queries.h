/* queries.h - every statement of the catalogue, by name. The SQL stands in queries.c. */
#ifndef BERTH_CATALOG_QUERIES_H
#define BERTH_CATALOG_QUERIES_H

enum query {
    Q_BEGIN,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_BUMP,
    Q_REPO_ID,
    Q_REPO_ADD,
    Q_REPO_LIST,
    Q_REPO_LINKS,
    Q_REPO_DELETE,
    Q_BLOB_GET,
    Q_BLOB_FIND,
    Q_BLOB_SIZE,
    Q_BLOB_ADD,
    Q_BLOB_LINK,
    Q_BLOB_LINKED,
    Q_BLOB_UNLINK,
    Q_BLOB_USED,
    Q_BLOB_DELETE,
    Q_MANIFEST_BY_TAG,
    Q_MANIFEST_BY_DIGEST,
    Q_MANIFEST_LINKED,
    Q_MANIFEST_ADD,
    Q_MANIFEST_REF,
    Q_MANIFEST_UNREF,
    Q_MANIFEST_DELETE,
    Q_MANIFEST_LIST,
    Q_CHILD_USED,
    Q_CHILD_IN_INDEX,
    Q_REFERRERS,
    Q_TAG_DIGEST,
    Q_TAG_SET,
    Q_TAG_DELETE,
    Q_TAG_LIST,
    Q_TAGS_OF_DIGEST,
    Q_TAGS_OF_REPO,
    Q_TAG_EVENT,
    Q_USAGE,
    Q_REPO_USAGE,
    Q_GENERATION,
    Q_FK_CHECK,
    Q_QUICK_CHECK,
    Q_COUNT
};

extern const char *const query_sql[Q_COUNT];

/* The numbered steps of the schema: schema_steps[i] leads from version i to i + 1. */
extern const char *const schema_steps[];
extern const int schema_version; /* how many there are */

#endif
