/* settings_value.c - the table of settings, and how one value is read and shown. */
#include "cli/settings_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "http/http.h"

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const char *const levels[] = { "debug", "info", "warn", "error", "off", NULL };

#define AT(field) offsetof(struct settings, field)

static const struct setting table[] = {
    { "server", "listen", SETTING_LISTEN, AT(listen), ":5000", 0, 0, false, NULL,
      "Addresses to listen on, separated by commas: ADDRESS:PORT, [IPv6]:PORT, or :PORT for all." },
    { "storage", "data", SETTING_TEXT, AT(data), "/var/lib/berth", 0, 0, false, NULL,
      "The data directory." },
    { "storage", "layout_idle", SETTING_TIME, AT(layout_idle_ms), "1m", 0, 7 * DAY, true, NULL,
      "Refresh index.json when nothing has changed for so long; 0: only at a clean stop." },
    { "storage", "upload_expiry", SETTING_TIME, AT(upload_expiry_ms), "7d", 0, 365 * DAY, true, NULL,
      "An unfinished upload that has not grown for so long is removed; 0: never." },
    { "storage", "sqlite_cache", SETTING_BYTES, AT(sqlite_cache), "512K", 64 * KIB, GIB, false, NULL,
      "Page cache of each connection to the catalogue; there are up to nine." },
    { "limits", "workers", SETTING_COUNT, AT(workers), "64", 4, 4096, false, NULL,
      "Connections served at a time; each holds a thread." },
    { "limits", "stack", SETTING_BYTES, AT(stack), "256K", 192 * KIB, 16 * MIB, false, NULL,
      "Stack of a worker thread." },
    { "limits", "io_timeout", SETTING_TIME, AT(io_timeout_ms), "1m", SECOND, HOUR, false, NULL,
      "A client that neither sends nor takes a byte for so long is cut off." },
    { "limits", "head_timeout", SETTING_TIME, AT(head_timeout_ms), "15s", SECOND, HOUR, false, NULL,
      "A request's head must have arrived in this time." },
    { "limits", "idle_timeout", SETTING_TIME, AT(idle_timeout_ms), "75s", SECOND, HOUR, false, NULL,
      "A connection without a request is closed after this time." },
    { "limits", "drain_timeout", SETTING_TIME, AT(drain_timeout_ms), "10s", 0, HOUR, true, NULL,
      "When stopping, running requests get so long to end." },
    { "limits", "manifest_memory", SETTING_BYTES, AT(manifest_memory), "16M", 4 * MIB, GIB, false, NULL,
      "Memory that manifests being received and long lists being sent may take at a time, half each." },
    { "limits", "chunk_min_length", SETTING_BYTES, AT(chunk_min_length), "64K", 0, GIB, false, NULL,
      "Announced to clients as the smallest chunk worth sending (OCI-Chunk-Min-Length); 0: not announced." },
    { "log", "level", SETTING_CHOICE, AT(log_level), "info", 0, 0, true, levels,
      "What to log: debug, info, warn, error or off." },
};
#define ROWS (sizeof table / sizeof table[0])
_Static_assert(ROWS <= SETTINGS_MAX, "struct settings has no room for the origin of every row");

const struct setting *settings_row(size_t n)
{
    return n < ROWS ? &table[n] : NULL;
}

/* ---- values ---- */

struct unit {
    const char *text;
    uint64_t factor;
};

/* The larger unit stands before the smaller, for formatting. */
#define UNITS 5
static const struct unit byte_units[UNITS] = {
    { "T", GIB << 10 }, { "G", GIB }, { "M", MIB }, { "K", KIB }, { "", 1 },
};
static const struct unit time_units[UNITS] = {
    { "d", DAY }, { "h", HOUR }, { "m", MINUTE }, { "s", SECOND }, { "ms", 1 },
};

void settings_say(char why[SETTINGS_WHY_MAX + 1], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, SETTINGS_WHY_MAX + 1, fmt, ap);
    va_end(ap);
}

/* Is this the unit as written? "K" is also "k", "KiB" and "kib"; a time's units are as they are. */
static bool same_unit(const char *written, const char *unit, bool bytes)
{
    if (!bytes || *unit == '\0')
        return str_eq(written, unit);
    if (toupper((unsigned char)*written) != *unit)
        return false;
    return written[1] == '\0' || str_eq_nocase(written + 1, "iB");
}

/* Digits and a unit. */
static bool quantity(const char *text, const struct unit *units, bool bytes, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    uint64_t n;

    if (digits == 0 || str_u64(text, digits, UINT64_MAX, &n))
        return false;
    if (!bytes && n == 0 && *unit == '\0') {
        *out = 0; /* nothing is nothing in every unit */
        return true;
    }
    for (size_t i = 0; i < UNITS; i++) {
        if (!same_unit(unit, units[i].text, bytes))
            continue;
        if (n > UINT64_MAX / units[i].factor)
            return false;
        *out = n * units[i].factor;
        return true;
    }
    return false;
}

static void format_quantity(uint64_t n, const struct unit *units, char out[SETTING_TEXT_MAX + 1])
{
    size_t i = 0;

    while (n > 0 && n % units[i].factor != 0)
        i++;
    snprintf(out, SETTING_TEXT_MAX + 1, "%llu%s", (unsigned long long)(n > 0 ? n / units[i].factor : 0),
             n > 0 ? units[i].text : "");
}

/* One of the addresses to listen on. The server reads them again; here they are judged while
 * the place where they were written is still known. */
static bool address_ok(const char *text, size_t len, char why[SETTINGS_WHY_MAX + 1])
{
    char host[64];
    struct in_addr v4;
    struct in6_addr v6;
    const char *colon = memrchr(text, ':', len);
    uint64_t port;
    size_t host_len;

    if (len == 0) {
        settings_say(why, "an address is missing beside a comma");
        return false;
    }
    if (!colon) {
        settings_say(why, "\"%.*s\" has no port: write ADDRESS:PORT, or :PORT for all addresses", (int)len,
                     text);
        return false;
    }
    host_len = (size_t)(colon - text);
    if (str_u64(colon + 1, len - host_len - 1, 65535, &port)) {
        settings_say(why, "\"%.*s\" is no port from 0 to 65535", (int)(len - host_len - 1), colon + 1);
        return false;
    }
    if (host_len == 0)
        return true;
    if (text[0] == '[' && text[host_len - 1] == ']') {
        if (!str_copy_n(host, sizeof host, text + 1, host_len - 2) && inet_pton(AF_INET6, host, &v6) == 1)
            return true;
    } else if (!str_copy_n(host, sizeof host, text, host_len)) {
        if (inet_pton(AF_INET, host, &v4) == 1)
            return true;
        if (inet_pton(AF_INET6, host, &v6) == 1) {
            settings_say(why, "an IPv6 address needs brackets: [%s]:%u", host, (unsigned)port);
            return false;
        }
    }
    settings_say(why, "\"%.*s\" is no numeric address, such as 127.0.0.1 or [::1]", (int)host_len, text);
    return false;
}

static bool listen_ok(const char *text, char why[SETTINGS_WHY_MAX + 1])
{
    unsigned n = 0;

    for (;;) {
        size_t len = strcspn(text, ",");

        if (!address_ok(text, len, why))
            return false;
        if (++n > HTTP_LISTEN_MAX) {
            settings_say(why, "more than %u addresses", HTTP_LISTEN_MAX);
            return false;
        }
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

/* "a, b" is a list as well as "a,b". */
static void drop_blanks(char *text)
{
    char *to = text;

    for (; *text; text++)
        if (*text != ' ' && *text != '\t')
            *to++ = *text;
    *to = '\0';
}

static void *field(struct settings *s, const struct setting *row)
{
    return (char *)s + row->offset;
}

static uint64_t number(const struct settings *s, const struct setting *row)
{
    uint64_t n;

    memcpy(&n, (const char *)s + row->offset, sizeof n);
    return n;
}

static void format_number(const struct setting *row, uint64_t n, char out[SETTING_TEXT_MAX + 1])
{
    if (row->type == SETTING_BYTES)
        format_quantity(n, byte_units, out);
    else if (row->type == SETTING_TIME)
        format_quantity(n, time_units, out);
    else
        snprintf(out, SETTING_TEXT_MAX + 1, "%llu", (unsigned long long)n);
}

enum err settings_set(struct settings *s, const struct setting *row, const char *text,
                      char why[SETTINGS_WHY_MAX + 1])
{
    char least[SETTING_TEXT_MAX + 1], most[SETTING_TEXT_MAX + 1];
    uint64_t n = 0;

    if (*text == '\0') {
        settings_say(why, "%s is empty", row->name);
        return ERR_INVALID;
    }
    if ((row->type == SETTING_TEXT || row->type == SETTING_LISTEN) &&
        str_copy(field(s, row), SETTING_TEXT_MAX + 1, text)) {
        settings_say(why, "%s is longer than %d bytes", row->name, SETTING_TEXT_MAX);
        return ERR_INVALID;
    }
    switch (row->type) {
    case SETTING_TEXT:
        return ERR_OK;
    case SETTING_LISTEN:
        drop_blanks(field(s, row));
        return listen_ok(field(s, row), why) ? ERR_OK : ERR_INVALID;
    case SETTING_CHOICE:
        while (row->choices[n] && !str_eq(row->choices[n], text))
            n++;
        if (!row->choices[n]) {
            struct buf list = { 0 };

            for (size_t i = 0; row->choices[i]; i++)
                buf_fmt(&list, "%s%s", i ? ", " : "", row->choices[i]);
            settings_say(why, "%s cannot be \"%s\": it is one of %s", row->name, text,
                         list.p ? list.p : "few");
            buf_free(&list);
            return ERR_INVALID;
        }
        memcpy(field(s, row), &n, sizeof n);
        return ERR_OK;
    case SETTING_BYTES:
        if (!quantity(text, byte_units, true, &n)) {
            settings_say(why, "%s: \"%s\" is no size: write a whole number, if you like with K, M, G or T",
                         row->name, text);
            return ERR_INVALID;
        }
        break;
    case SETTING_TIME:
        if (!quantity(text, time_units, false, &n)) {
            settings_say(why, "%s: \"%s\" is no time: write a whole number and its unit: ms, s, m, h or d",
                         row->name, text);
            return ERR_INVALID;
        }
        break;
    case SETTING_COUNT:
        if (str_u64(text, strlen(text), UINT64_MAX, &n)) {
            settings_say(why, "%s: \"%s\" is no whole number", row->name, text);
            return ERR_INVALID;
        }
        break;
    }
    if (n < row->min || n > row->max) {
        format_number(row, row->min, least);
        format_number(row, row->max, most);
        settings_say(why, "%s: %s is out of range: from %s to %s", row->name, text, least, most);
        return ERR_INVALID;
    }
    memcpy(field(s, row), &n, sizeof n);
    return ERR_OK;
}

void settings_format(const struct settings *s, size_t n, char out[SETTING_TEXT_MAX + 1])
{
    const struct setting *row = &table[n];

    if (row->type == SETTING_TEXT || row->type == SETTING_LISTEN)
        memcpy(out, (const char *)s + row->offset, SETTING_TEXT_MAX + 1);
    else if (row->type == SETTING_CHOICE)
        snprintf(out, SETTING_TEXT_MAX + 1, "%s", row->choices[number(s, row)]);
    else
        format_number(row, number(s, row), out);
}
