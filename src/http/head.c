/* head.c - the parser of request heads. Lines are split at CRLF in place; each function takes one. */
#include "http/head.h"

#include <string.h>

#include "base/str.h"

#define LINE_OVERHEAD (HEAD_METHOD_MAX + 11u) /* two spaces and the version beside method and target */

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110, 5.6.2: the characters of a method and of a header's name. */
static bool is_token(unsigned char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether the line ends in " HTTP/d.d"; then *major and *minor are set. */
static bool version_at_end(const char *line, size_t len, unsigned *major, unsigned *minor)
{
    const char *v;

    if (len < 9)
        return false;
    v = line + len - 9;
    if (memcmp(v, " HTTP/", 6) != 0 || !is_digit(v[6]) || v[7] != '.' || !is_digit(v[8]))
        return false;
    *major = (unsigned)(v[6] - '0');
    *minor = (unsigned)(v[8] - '0');
    return true;
}

/* What can be said of the request line alone. Without this, HTTP/0.9 and peers that speak something
 * else would wait for an answer until the time for the head is over. */
static int check_request_line(const char *line, size_t len)
{
    unsigned major, minor;

    if (len > HTTP_TARGET_MAX + LINE_OVERHEAD)
        return 414;
    if (!version_at_end(line, len, &major, &minor))
        return 400;
    return major == 1 ? 0 : 505;
}

int head_find_end(const char *p, size_t len, size_t *seen, size_t *end)
{
    size_t line = *seen; /* where the line that is not yet whole begins */

    *end = 0;
    if (len > 0 && !is_token((unsigned char)p[0]))
        return 400; /* TLS on the plain port, mostly */
    while (line < len) {
        const char *lf = memchr(p + line, '\n', len - line);
        size_t at;
        int status;

        if (!lf)
            break;
        at = (size_t)(lf - p);
        if (at == 0 || p[at - 1] != '\r')
            return 400;
        if (line == 0 && (status = check_request_line(p, at - 1)))
            return status;
        if (at - line == 1) {
            *end = at + 1;
            return *end > HTTP_HEAD_MAX ? 431 : 0;
        }
        line = at + 1;
    }
    *seen = line;
    if (line == 0 && len > HTTP_TARGET_MAX + LINE_OVERHEAD + 1)
        return 414;
    return len >= HTTP_HEAD_MAX ? 431 : 0;
}

bool head_has_word(const char *value, const char *word)
{
    size_t len = strlen(word);

    while (*value) {
        size_t n;

        value += strspn(value, ", \t");
        n = strcspn(value, ", \t");
        if (n == len) {
            char got[32];

            if (str_copy_n(got, sizeof got, value, n) == ERR_OK && str_eq_nocase(got, word))
                return true;
        }
        value += n;
    }
    return false;
}

/* Split "PATH[?QUERY]" or "http://HOST[/PATH][?QUERY]" (RFC 9112, 3.2.2: a server must take it). */
static int parse_target(struct head *h, char *target)
{
    char *query;

    if (strlen(target) > HTTP_TARGET_MAX)
        return 414;
    for (const char *c = target; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
            return 400;
    if (target[0] != '/') {
        char scheme[9];
        size_t n = strcspn(target, ":");
        bool absolute = n < sizeof scheme - 3 && strncmp(target + n, "://", 3) == 0;

        if (str_eq(target, "*") && str_eq(h->method, "OPTIONS")) {
            h->path = target;
            return 0;
        }
        if (!absolute || str_copy_n(scheme, sizeof scheme, target, n) ||
            (!str_eq_nocase(scheme, "http") && !str_eq_nocase(scheme, "https")))
            return 400;
        target += n + 3;
        n = strcspn(target, "/?");
        if (n == 0)
            return 400;
        /* An absent path is "/"; the character before it is the host's last and not needed. */
        target += n;
        if (*target != '/')
            *--target = '/';
    }
    query = strchr(target, '?');
    if (query) {
        *query = '\0';
        h->query = query + 1;
    }
    h->path = target;
    return 0;
}

/* "METHOD TARGET HTTP/1.x", single spaces. */
static int parse_request_line(struct head *h, char *line, size_t len)
{
    unsigned major;
    char *target;
    size_t n = 0;

    if (!version_at_end(line, len, &major, &h->minor))
        return 400;
    if (major != 1)
        return 505;
    if (h->minor > 1)
        h->minor = 1; /* what we speak; RFC 9110, 6.2 */
    line[len - 9] = '\0';
    while (is_token((unsigned char)line[n]))
        n++;
    if (n == 0 || line[n] != ' ')
        return 400;
    if (n > HEAD_METHOD_MAX)
        return 501;
    line[n] = '\0';
    h->method = line;
    target = line + n + 1;
    return *target && strlen(target) == len - 9 - n - 1 ? parse_target(h, target) : 400;
}

static int parse_field(struct head *h, char *line, size_t len)
{
    struct head_field *f;
    size_t n = 0, end = len;

    while (n < len && is_token((unsigned char)line[n]))
        n++;
    /* Also a folded line, which begins with a space, and a space before the colon. */
    if (n == 0 || n == len || line[n] != ':')
        return 400;
    for (size_t i = n + 1; i < len; i++) {
        unsigned char c = (unsigned char)line[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return 400;
    }
    if (h->fields == HTTP_HEADERS_MAX)
        return 431;
    f = &h->field[h->fields++];
    line[n++] = '\0';
    while (n < end && (line[n] == ' ' || line[n] == '\t'))
        n++;
    while (end > n && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    line[end] = '\0'; /* at most the CR */
    f->name = line;
    f->value = line + n;
    return 0;
}

/* RFC 9112, 3.2: what a Host may hold. Enough to keep it from meaning something else elsewhere. */
static bool host_is_sane(const char *host)
{
    for (; *host; host++)
        if (!is_alnum((unsigned char)*host) && !strchr("-._~%!$&'()*+,;=:[]", *host))
            return false;
    return true;
}

/* RFC 9112, 6.1 and 7: "chunked" is the only coding we undo, and the last one it must be. */
static int parse_transfer_encoding(struct head *h, const char *value)
{
    const char *last = strrchr(value, ',');

    if (str_eq_nocase(value, "chunked")) {
        h->chunked = true;
        return 0;
    }
    last = last ? last + 1 + strspn(last + 1, " \t") : "";
    return str_eq_nocase(last, "chunked") ? 501 : 400;
}

/* The headers that decide where the body ends and what becomes of the connection. */
static int parse_framing(struct head *h)
{
    unsigned hosts = 0, lengths = 0, codings = 0;
    bool close = false, keep = false;
    int status;

    for (unsigned i = 0; i < h->fields; i++) {
        const struct head_field *f = &h->field[i];

        if (str_eq_nocase(f->name, "Host")) {
            if (++hosts > 1 || !host_is_sane(f->value))
                return 400;
        } else if (str_eq_nocase(f->name, "Content-Length")) {
            if (++lengths > 1 || str_u64(f->value, strlen(f->value), INT64_MAX, &h->length))
                return 400;
            h->has_length = true;
        } else if (str_eq_nocase(f->name, "Transfer-Encoding")) {
            if (++codings > 1)
                return 400;
            if ((status = parse_transfer_encoding(h, f->value)))
                return status;
        } else if (str_eq_nocase(f->name, "Connection")) {
            close = close || head_has_word(f->value, "close");
            keep = keep || head_has_word(f->value, "keep-alive");
        }
    }
    /* HTTP/1.0 has no transfer codings: whatever passed the request on did not understand it. */
    if ((lengths > 0 || h->minor == 0) && codings > 0)
        return 400;
    if (hosts == 0 && h->minor >= 1)
        return 400;
    h->keep_alive = !close && (h->minor >= 1 || keep);
    return 0;
}

/* RFC 9110, 10.1.1. Last, so that a head with a fault elsewhere gets that fault's status. */
static int parse_expect(struct head *h)
{
    for (unsigned i = 0; i < h->fields; i++) {
        if (h->minor == 0 || !str_eq_nocase(h->field[i].name, "Expect"))
            continue;
        if (!str_eq_nocase(h->field[i].value, "100-continue"))
            return 417;
        h->expect_continue = h->chunked || h->length > 0;
    }
    return 0;
}

void head_none(struct head *h)
{
    h->method = h->path = h->query = "";
    h->minor = 1;
    h->fields = 0;
    h->length = 0;
    h->has_length = h->chunked = h->expect_continue = h->keep_alive = false;
}

int head_parse(struct head *h, char *p, size_t len)
{
    char *line = p;
    int status;

    head_none(h);
    for (;;) {
        char *cr = memchr(line, '\r', len - (size_t)(line - p));
        size_t n;

        if (!cr || cr + 1 >= p + len || cr[1] != '\n')
            return 400; /* a CR alone; the head itself is known to end in CRLF CRLF */
        n = (size_t)(cr - line);
        if (n == 0)
            break;
        status = line == p ? parse_request_line(h, line, n) : parse_field(h, line, n);
        if (status)
            return status;
        line = cr + 2;
    }
    if ((status = parse_framing(h)))
        return status;
    return parse_expect(h);
}
