/* cmd_serve.c - berth serve: build everything up, wait for signals, tear it down.
 *
 * The main thread serves nobody. It sleeps in sigtimedwait, so that a signal is an ordinary event, and
 * wakes to ping the watchdog and to refresh index.json when the registry is idle.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/str.h"
#include "berth_version.h"
#include "cli/cli.h"
#include "cli/notify.h"
#include "http/http.h"
#include "registry/layout.h"

#define LAYOUT_PAUSE_MS  (10 * 60 * 1000) /* between two refreshes of index.json: flash wears */
#define LAYOUT_CHECK_MS  15000            /* at most so long between two looks whether something changed */
#define SWEEP_PAUSE_MS   (60 * 60 * 1000) /* between two looks for uploads that nobody came back to */
#define SERVER_BUSY_MS   10000u           /* a client waits so long for another process's write lock */
#define FILES_PER_WORKER 6u               /* socket, blob, upload, catalogue with its WAL, one spare */
#define FILES_BASE       64u

struct serving {
    struct cli *cli;
    struct registry *registry;
    struct api *api;
    struct http_server *server;
    struct notify notify;
    /* when to refresh index.json */
    uint64_t generation;    /* of the catalogue, when last looked */
    int64_t changed_ms;     /* when that was seen first */
    int64_t synced_ms;
    bool synced, dirty;
    int64_t swept_ms;       /* when unfinished uploads were looked through, or the start */
};

/* As many files as all workers at once may want. The hard limit is the administrator's word. */
static void raise_file_limit(const struct settings *s, struct log *log)
{
    rlim_t want = (rlim_t)(s->workers * FILES_PER_WORKER + FILES_BASE);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= want ? want : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < want)
        log_msg(log, LOG_WARN, "%u workers may need %llu open files, and only %llu are allowed (ulimit -n)",
                (unsigned)s->workers, (unsigned long long)want, (unsigned long long)limit.rlim_cur);
}

static void block_signals(sigset_t *set)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    /* Threads inherit the mask: none of them is ever interrupted by these. */
    pthread_sigmask(SIG_BLOCK, set, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* ---- SIGHUP ---- */

static void log_change(struct log *log, const char *msg, size_t row, const struct settings *from,
                       const struct settings *to)
{
    char old[SETTING_TEXT_MAX + 1], new[SETTING_TEXT_MAX + 1], name[64];
    struct log_line l;

    settings_format(from, row, old);
    settings_format(to, row, new);
    snprintf(name, sizeof name, "%s.%s", settings_row(row)->section, settings_row(row)->name);
    log_begin(&l, log, LOG_INFO, msg);
    log_str(&l, "setting", name);
    log_str(&l, "old", old);
    log_str(&l, "new", new);
    log_end(&l, log);
}

/* Take over what can change while serving. */
static void apply(struct serving *sv, const struct settings *new)
{
    struct settings *now = &sv->cli->settings;
    char a[SETTING_TEXT_MAX + 1], b[SETTING_TEXT_MAX + 1];
    const struct setting *row;

    /* A level that gets quieter must not swallow the news of itself. */
    if (new->log_level < now->log_level)
        sv->cli->log.level = (int)new->log_level;
    for (size_t i = 0; (row = settings_row(i)); i++) {
        settings_format(now, i, a);
        settings_format(new, i, b);
        if (str_eq(a, b))
            continue;
        log_change(&sv->cli->log, row->reload ? "setting changed" : "setting needs a restart", i, now, new);
        if (row->reload) /* all of these are numbers */
            memcpy((char *)now + row->offset, (const char *)new + row->offset, sizeof(uint64_t));
    }
    sv->cli->log.level = (int)now->log_level;
}

static void reload(struct serving *sv)
{
    struct settings new;
    char why[SETTINGS_WHY_MAX + 1];
    struct log_line l;

    notify_send(&sv->notify, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
    if (cli_settings(sv->cli, &new, why)) {
        log_begin(&l, &sv->cli->log, LOG_ERROR, "settings not reloaded: the old ones stay");
        log_str(&l, "reason", why);
        log_end(&l, &sv->cli->log);
    } else {
        apply(sv, &new);
        log_msg(&sv->cli->log, LOG_INFO, "settings reloaded");
    }
    notify_send(&sv->notify, "READY=1");
}

/* ---- index.json ---- */

/* Refresh index.json once the catalogue has rested for layout_idle. A process that was killed
 * left an old one behind: the first rest of this one counts as after a change. */
static void sync_when_idle(struct serving *sv)
{
    int64_t now = clock_mono_ms();
    int64_t idle = (int64_t)sv->cli->settings.layout_idle_ms;
    uint64_t generation;

    if (idle == 0 || catalog_generation(registry_catalog(sv->registry), &generation))
        return;
    if (generation != sv->generation) {
        sv->generation = generation;
        sv->changed_ms = now;
        sv->dirty = true;
        return;
    }
    if (!sv->dirty || now - sv->changed_ms < idle)
        return;
    if (sv->synced && now - sv->synced_ms < LAYOUT_PAUSE_MS)
        return;
    sv->dirty = false; /* a failure has been logged; the next change or the stop tries again */
    sv->synced = true;
    sv->synced_ms = now;
    (void)layout_sync_if_changed(sv->registry);
}

/* ---- unfinished uploads ---- */

/* Not at the start: it costs what lies in uploads/. */
static void sweep_when_due(struct serving *sv)
{
    int64_t now = clock_mono_ms(), expiry = (int64_t)sv->cli->settings.upload_expiry_ms;
    int64_t pause = expiry / 4 < SWEEP_PAUSE_MS ? expiry / 4 : SWEEP_PAUSE_MS;
    uint64_t removed;

    if (expiry == 0 || now - sv->swept_ms < pause)
        return;
    sv->swept_ms = now;
    if (registry_upload_sweep(sv->registry, expiry, &removed) == ERR_OK && removed > 0)
        log_msg(&sv->cli->log, LOG_INFO, "removed %llu unfinished uploads", (unsigned long long)removed);
}

/* ---- life ---- */

static int64_t sleep_ms(const struct serving *sv)
{
    int64_t ms = (int64_t)sv->cli->settings.layout_idle_ms / 4;

    if (ms == 0 || ms > LAYOUT_CHECK_MS)
        ms = LAYOUT_CHECK_MS;
    if (sv->notify.watchdog_ms && ms > sv->notify.watchdog_ms)
        ms = sv->notify.watchdog_ms;
    return ms;
}

/* Until a signal says stop. */
static void wait_for_the_end(struct serving *sv, const sigset_t *set)
{
    for (;;) {
        int64_t ms = sleep_ms(sv);
        struct timespec ts = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
        int sig = sigtimedwait(set, NULL, &ts);

        if (sig == SIGTERM || sig == SIGINT)
            return;
        if (sig == SIGHUP)
            reload(sv);
        if (sv->notify.watchdog_ms)
            notify_send(&sv->notify, "WATCHDOG=1");
        sync_when_idle(sv);
        sweep_when_due(sv);
    }
}

static void log_listening(const struct serving *sv)
{
    struct buf addresses = { 0 };
    struct log_line l;
    const char *a;

    for (unsigned i = 0; (a = http_server_address(sv->server, i)); i++)
        buf_fmt(&addresses, "%s%s", i ? "," : "", a);
    log_begin(&l, &sv->cli->log, LOG_INFO, "listening");
    log_str(&l, "addr", addresses.p);
    log_str(&l, "data", sv->cli->settings.data);
    log_str(&l, "version", BERTH_VERSION);
    log_int(&l, "start_ms", clock_mono_ms() - sv->cli->started_ms);
    log_end(&l, &sv->cli->log);
    notify_send(&sv->notify, "READY=1\nSTATUS=Listening on %s", addresses.p ? addresses.p : "");
    buf_free(&addresses);
}

static enum err start(struct serving *sv)
{
    const struct settings *s = &sv->cli->settings;
    struct log *log = &sv->cli->log;
    struct registry_config rc = {
        .data = s->data,
        .create = true,
        .cache_kib = (unsigned)(s->sqlite_cache >> 10),
        .busy_ms = SERVER_BUSY_MS,
    };
    struct api_config ac = {
        .log = log, .manifest_memory = s->manifest_memory, .upload_chunk_min = s->chunk_min_length,
    };
    struct http_config hc = {
        .listen = s->listen,
        .workers = (unsigned)s->workers,
        .stack_bytes = (unsigned)s->stack,
        .io_timeout_ms = (unsigned)s->io_timeout_ms,
        .head_timeout_ms = (unsigned)s->head_timeout_ms,
        .idle_timeout_ms = (unsigned)s->idle_timeout_ms,
    };
    struct http_handler handler;
    enum err e;

    if ((e = registry_open(&sv->registry, &rc, log))) {
        cli_say_open(sv->cli, e);
        return e;
    }
    if (access(s->data, W_OK))
        log_msg(log, LOG_WARN, "%s cannot be written to (%s): pulls are served, pushes fail", s->data,
                strerror(errno));
    ac.registry = sv->registry;
    if ((e = api_open(&sv->api, &ac))) {
        cli_say("cannot start: %s", err_text(e));
        return e;
    }
    handler = api_handler(sv->api);
    if ((e = http_server_start(&sv->server, &hc, &handler, log)))
        cli_say("cannot listen on %s: is the port taken, or the address another machine's? "
                "Choose with --listen", s->listen);
    return e;
}

/* In the reverse order of start; each of these takes what was never opened. */
static void stop(struct serving *sv)
{
    if (sv->server) {
        http_server_stop(sv->server, (unsigned)sv->cli->settings.drain_timeout_ms);
        /* On a full disk this fails, and is logged; a stop it remains, index.json is only late. */
        (void)layout_sync_if_changed(sv->registry);
    }
    if (sv->api)
        api_close(sv->api);
    registry_close(sv->registry);
    notify_close(&sv->notify);
}

int cmd_serve(struct cli *cli)
{
    struct serving sv = { .cli = cli, .dirty = true };
    sigset_t set;
    enum err e;

    block_signals(&set);
    raise_file_limit(&cli->settings, &cli->log);
    notify_open(&sv.notify);
    if ((e = start(&sv))) {
        stop(&sv);
        return cli_exit(e);
    }
    log_listening(&sv);
    sv.changed_ms = sv.swept_ms = clock_mono_ms();
    (void)catalog_generation(registry_catalog(sv.registry), &sv.generation);
    wait_for_the_end(&sv, &set);

    log_msg(&cli->log, LOG_INFO, "stopping");
    notify_send(&sv.notify, "STOPPING=1\nSTATUS=Waiting for running requests");
    /* Whoever asks a second time does not want to wait: the default action ends the process at
     * once, and nothing that was acknowledged is lost by that. */
    sigdelset(&set, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    stop(&sv);
    log_msg(&cli->log, LOG_INFO, "stopped");
    return EXIT_DONE;
}
