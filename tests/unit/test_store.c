/* The data directory, and upload sessions in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "store/store.h"
#include "store/upload.h"
#include "t.h"

#define OWNER "team/app"

static struct store *open_store(struct t *t)
{
    struct store *s = NULL;

    CHECK(store_open(&s, t_dir(t), true, &io_posix, NULL) == ERR_OK);
    return s;
}

static struct digest sha256_of(const char *text)
{
    struct digest d;

    digest_of(DIGEST_SHA256, text, strlen(text), &d);
    return d;
}

/* Does the file path under the store's folder exist? */
static bool there(struct store *s, const char *path)
{
    return faccessat(store_dirfd(s), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum err push(struct store *s, const char *text, const struct digest *d)
{
    struct upload *up = NULL;
    enum err e;

    if ((e = upload_begin(&up, s, OWNER, d->alg)) || (e = upload_append(up, text, strlen(text))) ||
        (e = upload_prove(up, d)))
        upload_cancel(up);
    else
        e = upload_publish(up);
    upload_close(up);
    return e;
}

static enum err count_digests(void *arg, const struct digest *d)
{
    (void)d;
    ++*(int *)arg;
    return ERR_OK;
}

static enum err count_blobs(void *arg, const struct digest *d, uint64_t size)
{
    (void)size;
    return count_digests(arg, d);
}

static void a_new_data_directory_is_an_image_layout(struct t *t)
{
    char path[4096], text[256] = "";
    struct store *s = NULL;
    int fd;

    REQUIRE(str_format(path, sizeof path, "%s/a/b/c/", t_dir(t)) == ERR_OK);
    CHECK(store_open(&s, path, false, &io_posix, NULL) == ERR_NOT_FOUND && s == NULL);
    REQUIRE(store_open(&s, path, true, &io_posix, NULL) == ERR_OK);
    CHECK(there(s, "blobs/sha256") && there(s, "blobs/sha512") && there(s, "uploads") && there(s, "trash") &&
          there(s, "quarantine") && there(s, "index.json"));
    fd = openat(store_dirfd(s), "oci-layout", O_RDONLY);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    CHECK_STR(text, "{\"imageLayoutVersion\":\"1.0.0\"}\n");
    close(fd);
    store_close(s);
    CHECK(store_open(&s, path, false, &io_posix, NULL) == ERR_OK);
    store_close(s);
}

static void a_layout_of_another_version_is_refused_and_left_alone(struct t *t)
{
    static const char other[] = "{\"imageLayoutVersion\":\"2.0.0\"}";
    struct store *s = open_store(t);
    int fd;

    fd = openat(store_dirfd(s), "oci-layout", O_WRONLY | O_TRUNC);
    CHECK(write(fd, other, strlen(other)) == (ssize_t)strlen(other));
    close(fd);
    store_close(s);
    CHECK(store_open(&s, t_dir(t), true, &io_posix, NULL) == ERR_INVALID);
}

static void pushed_bytes_become_a_protected_file_named_by_their_digest(struct t *t)
{
    struct digest d = sha256_of("hello");
    char path[256], hex[DIGEST_HEX_MAX + 1], text[6] = "";
    struct store *s = open_store(t);
    struct stat st;
    uint64_t size;
    int fd;

    CHECK(store_blob_open(s, &d, &fd, &size) == ERR_BLOB_UNKNOWN);
    CHECK(push(s, "hello", &d) == ERR_OK);
    digest_hex(&d, hex);
    CHECK(str_format(path, sizeof path, "blobs/sha256/%s", hex) == ERR_OK && there(s, path));
    REQUIRE(store_blob_open(s, &d, &fd, &size) == ERR_OK);
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0444);
    CHECK(size == 5 && read(fd, text, 5) == 5 && strcmp(text, "hello") == 0);
    close(fd);
    CHECK(store_blob_verify(s, &d) == ERR_OK);
    CHECK(push(s, "hello", &d) == ERR_OK); /* again: the same */
    store_close(s);
}

static void bytes_that_hash_to_something_else_are_no_blob_and_the_session_goes_on(struct t *t)
{
    struct digest want = sha256_of("hello"), wrong = sha256_of("other");
    struct store *s = open_store(t);
    struct upload *up;
    uint64_t size;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_append(up, "hel", 3) == ERR_OK);
    CHECK(upload_prove(up, &wrong) == ERR_DIGEST_INVALID && upload_prove(up, &want) == ERR_DIGEST_INVALID);
    CHECK(upload_append(up, "lo", 2) == ERR_OK && upload_size(up) == 5);
    CHECK(upload_prove(up, &wrong) == ERR_DIGEST_INVALID);
    CHECK(upload_prove(up, &want) == ERR_OK && upload_publish(up) == ERR_OK);
    upload_close(up);
    CHECK(store_blob_stat(s, &want, &size) == ERR_OK && size == 5);
    CHECK(store_blob_stat(s, &wrong, &size) == ERR_BLOB_UNKNOWN);
    store_close(s);
}

static void a_session_goes_on_in_another_process_with_either_algorithm(struct t *t)
{
    for (int alg = 0; alg < DIGEST_ALG_COUNT; alg++) {
        for (int restart = 0; restart < 2; restart++) {
            char id[UPLOAD_ID_LEN + 1], text[64];
            struct store *s = open_store(t);
            struct upload *up;
            struct digest d;
            uint64_t size = 0;

            t_note(t, "algorithm %d, restart %d", alg, restart);
            (void)str_format(text, sizeof text, "first half, %d and %d", alg, restart);
            digest_of((enum digest_alg)alg, text, strlen(text), &d);
            REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
            CHECK(str_copy(id, sizeof id, upload_id(up)) == ERR_OK);
            CHECK(upload_append(up, text, 6) == ERR_OK);
            upload_close(up);
            if (restart) {
                store_close(s);
                s = open_store(t);
            }
            CHECK(upload_stat(s, OWNER, id, &size) == ERR_OK && size == 6);
            REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK);
            CHECK(upload_size(up) == 6);
            CHECK(upload_append(up, text + 6, strlen(text) - 6) == ERR_OK);
            CHECK(upload_prove(up, &d) == ERR_OK && upload_publish(up) == ERR_OK);
            upload_close(up);
            CHECK(store_blob_verify(s, &d) == ERR_OK);
            CHECK(upload_resume(&up, s, OWNER, id) == ERR_UPLOAD_UNKNOWN && up == NULL);
            store_close(s);
        }
    }
}

/* What another process appended while this one remembered an older hash is hashed too. */
static void a_remembered_hash_is_not_used_for_other_bytes(struct t *t)
{
    struct store *mine = open_store(t), *other = open_store(t);
    struct digest d = sha256_of("onetwothree");
    char id[UPLOAD_ID_LEN + 1];
    struct upload *up;

    REQUIRE(upload_begin(&up, mine, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(str_copy(id, sizeof id, upload_id(up)) == ERR_OK && upload_append(up, "one", 3) == ERR_OK);
    upload_close(up);
    REQUIRE(upload_resume(&up, other, OWNER, id) == ERR_OK);
    CHECK(upload_append(up, "two", 3) == ERR_OK);
    upload_close(up);
    REQUIRE(upload_resume(&up, mine, OWNER, id) == ERR_OK);
    CHECK(upload_append(up, "three", 5) == ERR_OK && upload_prove(up, &d) == ERR_OK);
    upload_cancel(up);
    upload_close(up);
    store_close(mine);
    store_close(other);
}

static void a_session_is_its_owners_alone_and_open_once(struct t *t)
{
    static const char *const bad[] = { "",
                                       "x",
                                       "..",
                                       "../../oci-layout",
                                       "00000000-0000-4000-8000-000000000000",
                                       "00000000-0000-4000-8000-00000000000/",
                                       "00000000-0000-4000-8000-0000000000000" };
    struct store *s = open_store(t), *other = open_store(t);
    struct upload *up, *second;
    uint64_t size;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_resume(&second, s, OWNER, upload_id(up)) == ERR_BUSY && second == NULL);
    CHECK(upload_resume(&second, other, OWNER, upload_id(up)) == ERR_BUSY);
    CHECK(upload_stat(other, OWNER, upload_id(up), &size) == ERR_OK && size == 0);
    CHECK(upload_resume(&second, s, "team/other", upload_id(up)) == ERR_UPLOAD_UNKNOWN);
    CHECK(upload_stat(s, "team/other", upload_id(up), &size) == ERR_UPLOAD_UNKNOWN);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(upload_resume(&second, s, OWNER, bad[i]) == ERR_UPLOAD_UNKNOWN);
        CHECK(upload_stat(s, OWNER, bad[i], &size) == ERR_UPLOAD_UNKNOWN);
    }
    upload_close(up);
    store_close(s);
    store_close(other);
}

static void a_cancelled_session_leaves_nothing(struct t *t)
{
    struct store *s = open_store(t);
    char id[UPLOAD_ID_LEN + 1];
    struct upload *up;
    int n = 0;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(str_copy(id, sizeof id, upload_id(up)) == ERR_OK && upload_append(up, "x", 1) == ERR_OK);
    upload_cancel(up);
    upload_close(up);
    CHECK(upload_resume(&up, s, OWNER, id) == ERR_UPLOAD_UNKNOWN);
    CHECK(store_blob_foreach(s, count_blobs, &n) == ERR_OK && n == 0);
    CHECK(unlinkat(store_dirfd(s), "uploads", AT_REMOVEDIR) == 0);
    store_close(s);
}

static int reserve_never(const struct io *io, int fd, off_t len)
{
    (void)io;
    (void)fd;
    (void)len;
    errno = ENOTSUP;
    return -1;
}

static int little_is_free(const struct io *io, int fd, uint64_t *out)
{
    (void)io;
    (void)fd;
    *out = 100;
    return 0;
}

static void bytes_that_will_not_fit_are_refused_before_they_come(struct t *t)
{
    struct io io = io_posix;
    struct store *s = NULL;
    struct upload *up;

    io.reserve = reserve_never;
    io.free_bytes = little_is_free;
    REQUIRE(store_open(&s, t_dir(t), true, &io, NULL) == ERR_OK);
    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_expect(up, 100) == ERR_OK);
    CHECK(upload_expect(up, 101) == ERR_NO_SPACE);
    CHECK(upload_expect(up, UINT64_MAX) == ERR_NO_SPACE);
    upload_cancel(up);
    upload_close(up);
    store_close(s);
}

/* Room that was claimed for bytes that did not come goes back at once. */
static void claimed_room_is_given_back(struct t *t)
{
    struct store *s = open_store(t);
    struct digest d = sha256_of("abc");
    struct upload *up;
    struct stat st;
    uint64_t size;
    int fd;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_expect(up, 64u << 20) == ERR_OK);
    CHECK(upload_append(up, "abc", 3) == ERR_OK);
    CHECK(upload_prove(up, &d) == ERR_OK && upload_publish(up) == ERR_OK);
    upload_close(up);
    REQUIRE(store_blob_open(s, &d, &fd, &size) == ERR_OK);
    CHECK(size == 3 && fstat(fd, &st) == 0 && st.st_blocks * 512 < 1 << 20);
    close(fd);
    store_close(s);
}

/* A process that was killed while a chunk came had claimed room for all of it. */
static void room_claimed_by_a_process_that_was_killed_is_given_back(struct t *t)
{
    struct store *s = open_store(t);
    struct digest d = sha256_of("abc");
    char id[UPLOAD_ID_LEN + 1];
    struct upload *up;
    struct stat st;
    uint64_t size;
    int fd;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_append(up, "abc", 3) == ERR_OK && str_copy(id, sizeof id, upload_id(up)) == ERR_OK);
    upload_close(up);
    REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK && upload_expect(up, 64u << 20) == ERR_OK);
    free(up); /* what a kill does: nothing is closed in order, only descriptors */
    for (fd = 3; fd < 64; fd++) {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 3)
            close(fd);
    }
    REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK);
    CHECK(upload_prove(up, &d) == ERR_OK && upload_publish(up) == ERR_OK);
    upload_close(up);
    REQUIRE(store_blob_open(s, &d, &fd, &size) == ERR_OK);
    CHECK(size == 3 && fstat(fd, &st) == 0 && st.st_blocks * 512 < 1 << 20);
    close(fd);
    store_close(s);
}

static ssize_t pwrite_full(const struct io *io, int fd, const void *p, size_t n, off_t off)
{
    (void)io;
    (void)fd;
    (void)p;
    (void)n;
    (void)off;
    errno = ENOSPC;
    return -1;
}

static void a_session_that_fills_the_disk_gives_its_room_back(struct t *t)
{
    struct io io = io_posix;
    struct store *s = NULL;
    char id[UPLOAD_ID_LEN + 1];
    struct upload *up;

    REQUIRE(store_open(&s, t_dir(t), true, &io, NULL) == ERR_OK);
    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_append(up, "abc", 3) == ERR_OK && str_copy(id, sizeof id, upload_id(up)) == ERR_OK);
    io.pwrite = pwrite_full;
    CHECK(upload_append(up, "def", 3) == ERR_NO_SPACE && upload_size(up) == 3);
    upload_close(up);
    CHECK(upload_resume(&up, s, OWNER, id) == ERR_UPLOAD_UNKNOWN);
    store_close(s);
}

static void only_sessions_that_rest_and_nobody_has_open_are_swept(struct t *t)
{
    struct store *s = open_store(t), *other = open_store(t);
    char id[3][UPLOAD_ID_LEN + 1];
    struct upload *up[3];
    uint64_t removed, size;

    for (int i = 0; i < 3; i++) {
        REQUIRE(upload_begin(&up[i], s, OWNER, DIGEST_SHA256) == ERR_OK);
        CHECK(str_copy(id[i], sizeof id[i], upload_id(up[i])) == ERR_OK);
        if (i < 2)
            upload_close(up[i]);
    }
    CHECK(upload_sweep(other, 1000, &removed) == ERR_OK && removed == 0); /* older than 1970: none */
    CHECK(upload_sweep(other, INT64_MAX, &removed) == ERR_OK && removed == 2);
    CHECK(upload_stat(s, OWNER, id[0], &size) == ERR_UPLOAD_UNKNOWN);
    CHECK(upload_stat(s, OWNER, id[2], &size) == ERR_OK);
    upload_close(up[2]);
    store_close(s);
    store_close(other);
}

/* A session that was proven, but could not be published, is as before. */
static void a_proven_session_can_go_on(struct t *t)
{
    struct store *s = open_store(t);
    struct digest d = sha256_of("abc"), longer = sha256_of("abcd");
    char id[UPLOAD_ID_LEN + 1], path[256];
    struct upload *up;
    struct stat st;

    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(upload_append(up, "abc", 3) == ERR_OK && str_copy(id, sizeof id, upload_id(up)) == ERR_OK);
    CHECK(upload_prove(up, &d) == ERR_OK);
    upload_close(up);
    REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK);
    digest_of(DIGEST_SHA256, OWNER, strlen(OWNER), &d);
    CHECK(str_format(path, sizeof path, "uploads/%s-%02x%02x%02x%02x%02x%02x%02x%02x", id, d.bytes[0],
                     d.bytes[1], d.bytes[2], d.bytes[3], d.bytes[4], d.bytes[5], d.bytes[6],
                     d.bytes[7]) == ERR_OK);
    CHECK(fstatat(store_dirfd(s), path, &st, 0) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(upload_append(up, "d", 1) == ERR_OK && upload_prove(up, &longer) == ERR_OK);
    CHECK(upload_publish(up) == ERR_OK);
    upload_close(up);
    store_close(s);
}

static int ftruncate_fails(const struct io *io, int fd, off_t size)
{
    (void)io;
    (void)fd;
    (void)size;
    errno = EIO;
    return -1;
}

static void bytes_that_are_taken_back_do_not_count(struct t *t)
{
    struct io io = io_posix;
    struct store *s = NULL;
    struct digest d = sha256_of("abcxyz");
    char id[UPLOAD_ID_LEN + 1];
    struct upload *up;
    uint64_t size;

    REQUIRE(store_open(&s, t_dir(t), true, &io, NULL) == ERR_OK);
    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(str_copy(id, sizeof id, upload_id(up)) == ERR_OK && upload_append(up, "abc", 3) == ERR_OK);
    upload_close(up);
    REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK);
    CHECK(upload_append(up, "defghi", 6) == ERR_OK && upload_truncate(up, 3) == ERR_OK);
    CHECK(upload_size(up) == 3);
    upload_close(up); /* what is remembered of its hash must not be that of the longer one */
    CHECK(upload_stat(s, OWNER, id, &size) == ERR_OK && size == 3);
    REQUIRE(upload_resume(&up, s, OWNER, id) == ERR_OK);
    CHECK(upload_append(up, "xyz", 3) == ERR_OK && upload_prove(up, &d) == ERR_OK);
    CHECK(upload_publish(up) == ERR_OK);
    upload_close(up);
    CHECK(store_blob_verify(s, &d) == ERR_OK);

    /* What cannot be taken back cannot be kept either. */
    REQUIRE(upload_begin(&up, s, OWNER, DIGEST_SHA256) == ERR_OK);
    CHECK(str_copy(id, sizeof id, upload_id(up)) == ERR_OK && upload_append(up, "abc", 3) == ERR_OK);
    io.ftruncate = ftruncate_fails;
    CHECK(upload_truncate(up, 1) == ERR_IO);
    upload_close(up);
    CHECK(upload_resume(&up, s, OWNER, id) == ERR_UPLOAD_UNKNOWN);
    store_close(s);
}

static void a_blob_goes_through_the_trash_and_can_come_back(struct t *t)
{
    struct digest d = sha256_of("hello");
    struct store *s = open_store(t);
    uint64_t size;
    int n = 0, fd;

    CHECK(push(s, "hello", &d) == ERR_OK);
    REQUIRE(store_blob_open(s, &d, &fd, &size) == ERR_OK);
    CHECK(store_blob_trash(s, &d) == ERR_OK && store_blob_trash(s, &d) == ERR_OK);
    CHECK(store_blob_stat(s, &d, &size) == ERR_BLOB_UNKNOWN);
    CHECK(store_trash_foreach(s, count_digests, &n) == ERR_OK && n == 1);
    CHECK(store_trash_restore(s, &d) == ERR_OK && store_blob_verify(s, &d) == ERR_OK);
    CHECK(store_trash_restore(s, &d) == ERR_BLOB_UNKNOWN);
    CHECK(store_blob_trash(s, &d) == ERR_OK && store_trash_delete(s, &d) == ERR_OK);
    CHECK(store_trash_delete(s, &d) == ERR_OK && store_trash_restore(s, &d) == ERR_BLOB_UNKNOWN);
    close(fd);
    store_close(s);
}

static void a_rotten_blob_is_found_and_can_be_quarantined(struct t *t)
{
    struct digest d = sha256_of("hello");
    char hex[DIGEST_HEX_MAX + 1], path[256];
    struct store *s = open_store(t);
    uint64_t size;
    int fd;

    CHECK(push(s, "hello", &d) == ERR_OK);
    digest_hex(&d, hex);
    CHECK(str_format(path, sizeof path, "blobs/sha256/%s", hex) == ERR_OK);
    CHECK(fchmodat(store_dirfd(s), path, 0644, 0) == 0);
    fd = openat(store_dirfd(s), path, O_WRONLY);
    CHECK(pwrite(fd, "j", 1, 0) == 1);
    close(fd);
    CHECK(store_blob_verify(s, &d) == ERR_CORRUPT);
    CHECK(store_blob_quarantine(s, &d) == ERR_OK && store_blob_stat(s, &d, &size) == ERR_BLOB_UNKNOWN);
    CHECK(str_format(path, sizeof path, "quarantine/sha256-%s", hex) == ERR_OK && there(s, path));
    CHECK(store_blob_quarantine(s, &d) == ERR_BLOB_UNKNOWN);
    store_close(s);
}

static void files_of_other_tools_are_not_taken_for_blobs(struct t *t)
{
    struct store *s = open_store(t);
    int n = 0;

    close(openat(store_dirfd(s), "blobs/sha256/README", O_CREAT | O_WRONLY, 0600));
    close(openat(store_dirfd(s), "trash/note", O_CREAT | O_WRONLY, 0600));
    CHECK(store_blob_foreach(s, count_blobs, &n) == ERR_OK &&
          store_trash_foreach(s, count_digests, &n) == ERR_OK);
    CHECK(n == 0);
    store_close(s);
}

struct pusher {
    struct store *s;
    int number;
    enum err e;
};

static void *push_many(void *arg)
{
    struct pusher *p = arg;

    for (int i = 0; i < 40 && p->e == ERR_OK; i++) {
        char text[32];
        struct digest d;

        (void)str_format(text, sizeof text, "%d", i * 4 + (i % 2 ? p->number : 0));
        d = sha256_of(text);
        p->e = push(p->s, text, &d);
        if (p->e == ERR_OK)
            p->e = store_blob_verify(p->s, &d);
    }
    return NULL;
}

static void threads_push_the_same_and_different_blobs(struct t *t)
{
    struct store *s = open_store(t);
    struct pusher p[4];
    pthread_t thread[4];

    for (int i = 0; i < 4; i++) {
        p[i] = (struct pusher){ .s = s, .number = i };
        CHECK(pthread_create(&thread[i], NULL, push_many, &p[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK_INT(p[i].e, ERR_OK);
    }
    store_close(s);
}

T_MAIN(T(a_new_data_directory_is_an_image_layout), T(a_layout_of_another_version_is_refused_and_left_alone),
       T(pushed_bytes_become_a_protected_file_named_by_their_digest),
       T(bytes_that_hash_to_something_else_are_no_blob_and_the_session_goes_on),
       T(a_session_goes_on_in_another_process_with_either_algorithm),
       T(a_remembered_hash_is_not_used_for_other_bytes), T(a_session_is_its_owners_alone_and_open_once),
       T(a_cancelled_session_leaves_nothing), T(bytes_that_will_not_fit_are_refused_before_they_come),
       T(claimed_room_is_given_back),
       T(room_claimed_by_a_process_that_was_killed_is_given_back),
       T(a_session_that_fills_the_disk_gives_its_room_back),
       T(only_sessions_that_rest_and_nobody_has_open_are_swept), T(a_proven_session_can_go_on),
       T(bytes_that_are_taken_back_do_not_count), T(a_blob_goes_through_the_trash_and_can_come_back),
       T(a_rotten_blob_is_found_and_can_be_quarantined), T(files_of_other_tools_are_not_taken_for_blobs),
       T_CONCURRENT(threads_push_the_same_and_different_blobs))
