/* Every statement of the catalogue stands here. Parameters are bound by name; each statement is
 * prepared on a connection when it is first used there and kept.
 */
#include "catalog/queries.h"

#define REPO_OF "(SELECT id FROM repo WHERE name = :repo)"
/* The columns that manifest_row() reads, in its order. */
#define MANIFEST \
    "m.digest, m.media_type, m.size, m.artifact_type, m.platform, m.subject, m.content_size, m.pushed_at"

const char *const query_sql[Q_COUNT] = {
    /* IMMEDIATE: the write lock comes first, so that nothing read in the transaction can have
     * changed by the time it writes. */
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_BUMP] = "UPDATE usage SET generation = generation + 1",

    [Q_REPO_ID] = "SELECT id FROM repo WHERE name = :repo",
    [Q_REPO_ADD] = "INSERT INTO repo (name, created_at) VALUES (:repo, :now)",
    [Q_REPO_LIST] = "SELECT name FROM repo WHERE name > :last ORDER BY name LIMIT :limit",
    [Q_REPO_LINKS] = "SELECT digest FROM manifest WHERE repo = " REPO_OF
                     " UNION ALL SELECT digest FROM repo_blob WHERE repo = " REPO_OF " LIMIT :limit",
    [Q_REPO_DELETE] = "DELETE FROM repo WHERE name = :repo",

    [Q_BLOB_GET] = "SELECT b.size FROM repo r JOIN repo_blob l ON l.repo = r.id AND l.digest = :digest"
                   " JOIN blob b ON b.digest = l.digest WHERE r.name = :repo",
    [Q_BLOB_FIND] =
        "SELECT r.name FROM repo_blob l JOIN repo r ON r.id = l.repo WHERE l.digest = :digest LIMIT 1",
    [Q_BLOB_SIZE] = "SELECT size FROM blob WHERE digest = :digest",
    /* Pushed again: proven again, and wanted again. */
    [Q_BLOB_ADD] = "INSERT INTO blob (digest, size, created_at, verified_at, last_used_at)"
                   " VALUES (:digest, :size, :now, :now, :now)"
                   " ON CONFLICT (digest) DO UPDATE SET last_used_at = excluded.last_used_at",
    [Q_BLOB_LINK] = "INSERT INTO repo_blob (repo, digest, linked_at) VALUES (:id, :digest, :now)"
                    " ON CONFLICT (repo, digest) DO NOTHING",
    [Q_BLOB_LINKED] = "SELECT 1 FROM repo_blob WHERE repo = " REPO_OF " AND digest = :digest",
    [Q_BLOB_UNLINK] = "DELETE FROM repo_blob WHERE repo = " REPO_OF " AND digest = :digest",
    [Q_BLOB_USED] = "SELECT 1 WHERE EXISTS (SELECT 1 FROM repo_blob WHERE digest = :digest)"
                    " OR EXISTS (SELECT 1 FROM manifest WHERE digest = :digest)",
    [Q_BLOB_DELETE] = "DELETE FROM blob WHERE digest = :digest",

    [Q_MANIFEST_BY_TAG] = "SELECT " MANIFEST " FROM repo r JOIN tag t ON t.repo = r.id AND t.name = :tag"
                          " JOIN manifest m ON m.repo = r.id AND m.digest = t.digest WHERE r.name = :repo",
    [Q_MANIFEST_BY_DIGEST] = "SELECT " MANIFEST " FROM repo r"
                             " JOIN manifest m ON m.repo = r.id AND m.digest = :digest WHERE r.name = :repo",
    [Q_MANIFEST_LINKED] = "SELECT 1 FROM manifest WHERE repo = " REPO_OF " AND digest = :digest",
    [Q_MANIFEST_ADD] =
        "INSERT INTO manifest (repo, digest, media_type, artifact_type, subject, size, content_size,"
        " platform, annotations, pushed_at)"
        " VALUES (:id, :digest, :media_type, :artifact_type, :subject, :size,"
        " :content_size, :platform, :annotations, :now)"
        " ON CONFLICT (repo, digest) DO UPDATE SET media_type = excluded.media_type,"
        " artifact_type = excluded.artifact_type, subject = excluded.subject,"
        " content_size = excluded.content_size,"
        " platform = excluded.platform, annotations = excluded.annotations, pushed_at = excluded.pushed_at",
    [Q_MANIFEST_UNREF] = "DELETE FROM manifest_ref WHERE repo = :id AND parent = :digest",
    [Q_MANIFEST_REF] =
        "INSERT INTO manifest_ref (repo, parent, child, kind) VALUES (:id, :digest, :child, :kind)"
        " ON CONFLICT DO NOTHING",
    [Q_MANIFEST_DELETE] = "DELETE FROM manifest WHERE repo = " REPO_OF " AND digest = :digest",
    [Q_MANIFEST_LIST] =
        "SELECT " MANIFEST ","
        " EXISTS (SELECT 1 FROM tag t WHERE t.repo = m.repo AND t.digest = m.digest),"
        " EXISTS (SELECT 1 FROM manifest_ref f"
        "  WHERE f.repo = m.repo AND f.child = m.digest AND f.kind = 'manifest')"
        " FROM manifest m WHERE m.repo = " REPO_OF " AND m.digest > :last ORDER BY m.digest LIMIT :limit",
    [Q_CHILD_USED] =
        "SELECT 1 FROM manifest_ref WHERE repo = " REPO_OF " AND child = :digest AND kind <> 'subject'",
    [Q_CHILD_IN_INDEX] =
        "SELECT 1 FROM manifest_ref WHERE repo = " REPO_OF " AND child = :digest AND kind = 'manifest'",
    [Q_REFERRERS] = "SELECT " MANIFEST ", m.annotations FROM manifest m WHERE m.repo = " REPO_OF
                    " AND m.subject = :subject AND (:type IS NULL OR m.artifact_type = :type)"
                    " AND m.digest > :last ORDER BY m.digest LIMIT :limit",

    [Q_TAG_DIGEST] = "SELECT digest FROM tag WHERE repo = " REPO_OF " AND name = :tag",
    [Q_TAG_SET] =
        "INSERT INTO tag (repo, name, digest, updated_at) VALUES (" REPO_OF ", :tag, :digest, :now)"
        " ON CONFLICT (repo, name) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at",
    [Q_TAG_DELETE] = "DELETE FROM tag WHERE repo = " REPO_OF " AND name = :tag",
    [Q_TAG_LIST] = "SELECT " MANIFEST ", t.name, t.updated_at FROM tag t"
                   " JOIN manifest m ON m.repo = t.repo AND m.digest = t.digest"
                   " WHERE t.repo = " REPO_OF " AND t.name > :last ORDER BY t.name LIMIT :limit",
    [Q_TAGS_OF_DIGEST] = "SELECT name FROM tag WHERE repo = " REPO_OF " AND digest = :digest LIMIT 1",
    [Q_TAGS_OF_REPO] = "SELECT name FROM tag WHERE repo = " REPO_OF " LIMIT 1",
    [Q_TAG_EVENT] = "INSERT INTO tag_event (repo, tag, old, new, at, who)"
                    " VALUES (:repo, :tag, :old, :new, :now, :who)",

    [Q_USAGE] = "SELECT repos, tags, manifests, blobs, bytes FROM usage",
    [Q_REPO_USAGE] = "SELECT 1, tags, manifests, blobs, bytes FROM repo WHERE name = :repo",
    [Q_GENERATION] = "SELECT generation FROM usage",
    [Q_FK_CHECK] = "PRAGMA foreign_key_check",
    [Q_QUICK_CHECK] = "PRAGMA quick_check(1)",
};
