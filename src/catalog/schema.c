/* The schema, as numbered steps. PRAGMA user_version says how many a catalogue has
 * had; a change is a new step at the end, never an edit of an old one.
 */
#include "catalog/queries.h"

static const char step_1[] =
    /* A repository is there from its first blob on; it stays when its last tag goes. The totals
     * are kept by the triggers below: a quota check is one row. */
    "CREATE TABLE repo ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  description TEXT NOT NULL DEFAULT '',"
    "  readme TEXT NOT NULL DEFAULT '',"
    "  stars INTEGER NOT NULL DEFAULT 0,"
    "  official INTEGER NOT NULL DEFAULT 0,"
    "  kind TEXT NOT NULL DEFAULT 'hosted' CHECK (kind IN ('hosted', 'cached')),"
    "  upstream TEXT,"
    "  created_at INTEGER NOT NULL,"
    "  tags INTEGER NOT NULL DEFAULT 0,"
    "  manifests INTEGER NOT NULL DEFAULT 0,"
    "  blobs INTEGER NOT NULL DEFAULT 0," /* linked, without manifests */
    "  bytes INTEGER NOT NULL DEFAULT 0"  /* of both */
    ") STRICT;"

    /* One row for each file under blobs/, manifests included. */
    "CREATE TABLE blob ("
    "  digest TEXT PRIMARY KEY,"
    "  size INTEGER NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  verified_at INTEGER NOT NULL,"
    "  cached INTEGER NOT NULL DEFAULT 0,"
    "  last_used_at INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    /* This repository may serve this blob. */
    "CREATE TABLE repo_blob ("
    "  repo INTEGER NOT NULL REFERENCES repo (id),"
    "  digest TEXT NOT NULL REFERENCES blob (digest),"
    "  linked_at INTEGER NOT NULL,"
    "  PRIMARY KEY (repo, digest)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX repo_blob_digest ON repo_blob (digest);"

    /* annotations are kept for manifests with a subject alone: the referrers list shows them. */
    "CREATE TABLE manifest ("
    "  id INTEGER PRIMARY KEY,"
    "  repo INTEGER NOT NULL REFERENCES repo (id),"
    "  digest TEXT NOT NULL REFERENCES blob (digest),"
    "  media_type TEXT NOT NULL,"
    "  artifact_type TEXT NOT NULL,"
    "  subject TEXT,"
    "  size INTEGER NOT NULL,"
    "  content_size INTEGER NOT NULL,"
    "  platform TEXT NOT NULL,"
    "  annotations TEXT,"
    "  pushed_at INTEGER NOT NULL,"
    "  last_pulled_at INTEGER,"
    "  pull_count INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE (repo, digest)"
    ") STRICT;"
    "CREATE INDEX manifest_digest ON manifest (digest);"
    "CREATE INDEX manifest_subject ON manifest (repo, subject, digest) WHERE subject IS NOT NULL;"

    /* What a manifest names. A child may be missing: a subject, a foreign layer. */
    "CREATE TABLE manifest_ref ("
    "  repo INTEGER NOT NULL,"
    "  parent TEXT NOT NULL,"
    "  child TEXT NOT NULL,"
    "  kind TEXT NOT NULL CHECK (kind IN ('config', 'layer', 'manifest', 'subject')),"
    "  PRIMARY KEY (repo, parent, child, kind),"
    "  FOREIGN KEY (repo, parent) REFERENCES manifest (repo, digest) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX manifest_ref_child ON manifest_ref (repo, child);"

    "CREATE TABLE tag ("
    "  repo INTEGER NOT NULL REFERENCES repo (id),"
    "  name TEXT NOT NULL,"
    "  digest TEXT NOT NULL,"
    "  updated_at INTEGER NOT NULL,"
    "  PRIMARY KEY (repo, name),"
    "  FOREIGN KEY (repo, digest) REFERENCES manifest (repo, digest)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX tag_digest ON tag (repo, digest);"

    /* Append-only. By name, not by id: history outlives the repository. */
    "CREATE TABLE tag_event ("
    "  id INTEGER PRIMARY KEY,"
    "  repo TEXT NOT NULL,"
    "  tag TEXT NOT NULL,"
    "  old TEXT,"
    "  new TEXT,"
    "  at INTEGER NOT NULL,"
    "  who TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX tag_event_tag ON tag_event (repo, tag, id);"

    /* Totals over everything, and the number that each commit changes. One row. */
    "CREATE TABLE usage ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  generation INTEGER NOT NULL,"
    "  repos INTEGER NOT NULL,"
    "  tags INTEGER NOT NULL,"
    "  manifests INTEGER NOT NULL,"
    "  blobs INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO usage VALUES (1, 0, 0, 0, 0, 0, 0);"

    "CREATE TRIGGER repo_added AFTER INSERT ON repo BEGIN"
    "  UPDATE usage SET repos = repos + 1; END;"
    "CREATE TRIGGER repo_removed AFTER DELETE ON repo BEGIN"
    "  UPDATE usage SET repos = repos - 1; END;"
    "CREATE TRIGGER blob_added AFTER INSERT ON blob BEGIN"
    "  UPDATE usage SET blobs = blobs + 1, bytes = bytes + NEW.size; END;"
    "CREATE TRIGGER blob_removed AFTER DELETE ON blob BEGIN"
    "  UPDATE usage SET blobs = blobs - 1, bytes = bytes - OLD.size; END;"
    "CREATE TRIGGER repo_blob_added AFTER INSERT ON repo_blob BEGIN"
    "  UPDATE repo SET blobs = blobs + 1,"
    "    bytes = bytes + (SELECT size FROM blob WHERE digest = NEW.digest) WHERE id = NEW.repo; END;"
    "CREATE TRIGGER repo_blob_removed AFTER DELETE ON repo_blob BEGIN"
    "  UPDATE repo SET blobs = blobs - 1,"
    "    bytes = bytes - (SELECT size FROM blob WHERE digest = OLD.digest) WHERE id = OLD.repo; END;"
    "CREATE TRIGGER manifest_added AFTER INSERT ON manifest BEGIN"
    "  UPDATE repo SET manifests = manifests + 1, bytes = bytes + NEW.size WHERE id = NEW.repo;"
    "  UPDATE usage SET manifests = manifests + 1; END;"
    "CREATE TRIGGER manifest_removed AFTER DELETE ON manifest BEGIN"
    "  UPDATE repo SET manifests = manifests - 1, bytes = bytes - OLD.size WHERE id = OLD.repo;"
    "  UPDATE usage SET manifests = manifests - 1; END;"
    "CREATE TRIGGER tag_added AFTER INSERT ON tag BEGIN"
    "  UPDATE repo SET tags = tags + 1 WHERE id = NEW.repo;"
    "  UPDATE usage SET tags = tags + 1; END;"
    "CREATE TRIGGER tag_removed AFTER DELETE ON tag BEGIN"
    "  UPDATE repo SET tags = tags - 1 WHERE id = OLD.repo;"
    "  UPDATE usage SET tags = tags - 1; END;";

const char *const schema_steps[] = { step_1 };
const int schema_version = sizeof schema_steps / sizeof *schema_steps;
