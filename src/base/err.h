/* err.h - the one error type.
 *
 * A code says what the caller can do about it, not where it happened. Codes
 * before ERR_FAULT_FIRST answer the client and are not logged; from there on
 * they are faults of the machine, logged once by whoever found them.
 */
#ifndef BERTH_BASE_ERR_H
#define BERTH_BASE_ERR_H

enum err {
    ERR_OK = 0, /* so "if ((e = f()))" reads "if f failed" */

    /* Answers: told to the client. The first group are the codes of the OCI
     * distribution specification, "Error Codes". */
    ERR_NAME_INVALID,
    ERR_NAME_UNKNOWN,          /* no such repository */
    ERR_TAG_INVALID,
    ERR_BLOB_UNKNOWN,
    ERR_UPLOAD_UNKNOWN,        /* never begun, ended, expired, or another repository's */
    ERR_MANIFEST_UNKNOWN,
    ERR_MANIFEST_INVALID,
    ERR_MANIFEST_BLOB_UNKNOWN, /* the manifest names content this repository lacks */
    ERR_DIGEST_INVALID,        /* malformed, or the bytes hash to something else */
    ERR_SIZE_INVALID,          /* body and declared length disagree, or the body broke off */
    ERR_RANGE,                 /* chunk out of order */
    ERR_OUTSIDE,               /* a range outside the content */
    ERR_DENIED,
    ERR_UNSUPPORTED,

    ERR_INVALID,               /* malformed request, argument or setting */
    ERR_NOT_FOUND,             /* no such route, file or key */
    ERR_METHOD,                /* the route has no such method */
    ERR_TOO_LARGE,             /* over a documented limit */
    ERR_TOO_MANY,              /* more in one request than is taken at once */
    ERR_IN_USE,                /* something else refers to it */
    ERR_BUSY,                  /* another holder; try again */
    ERR_TIMEOUT,               /* the peer was too slow */
    ERR_GONE,                  /* the peer left: nobody is there to answer */
    ERR_EXISTS,

    /* Faults of the machine: logged where found, a bare 5xx for the client. */
    ERR_FAULT_FIRST,
    ERR_NO_SPACE = ERR_FAULT_FIRST,
    ERR_NO_MEMORY,
    ERR_IO,
    ERR_CORRUPT,               /* stored bytes are not what they were */
    ERR_COUNT
};

/* A short English phrase for e, for logs and the command line; never NULL. */
const char *err_text(enum err e);

#endif
