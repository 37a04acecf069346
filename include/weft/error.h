/* Errors: one list gives the code, its name, its damage and its text.
 *
 * 0 is success, negatives are errors; where errno has the meaning the code is -errno. A caller
 * branches on the damage (what is broken now), not on single codes. The function that first meets
 * an error describes it with weft_fail(); everybody above passes the code on unchanged.
 */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include <errno.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What an error leaves broken: nothing but the operation (retry or give up), the peer (drop it),
 * the endpoint (reopen it), or the whole host (leave it). */
enum weft_damage {
    WEFT_DAMAGE_NONE,
    WEFT_DAMAGE_OP,
    WEFT_DAMAGE_PEER,
    WEFT_DAMAGE_ENDPOINT,
    WEFT_DAMAGE_HOST
};

/* X(name, code, damage, text) */
#define WEFT_ERRORS(X)                                                                             \
    X(WEFT_OK, 0, NONE, "ok")                                                                      \
    X(WEFT_EPERM, -EPERM, OP, "not permitted")                                                     \
    X(WEFT_ENOENT, -ENOENT, OP, "no such thing")                                                   \
    X(WEFT_EIO, -EIO, OP, "input or output failed")                                                \
    X(WEFT_ENOEXEC, -ENOEXEC, OP, "not a program that weft can load")                              \
    X(WEFT_EAGAIN, -EAGAIN, OP, "full just now, try again")                                        \
    X(WEFT_ENOMEM, -ENOMEM, OP, "out of memory")                                                   \
    X(WEFT_EACCES, -EACCES, OP, "access denied")                                                   \
    X(WEFT_EBUSY, -EBUSY, OP, "busy")                                                              \
    X(WEFT_EEXIST, -EEXIST, OP, "exists already")                                                  \
    X(WEFT_EINVAL, -EINVAL, OP, "invalid argument")                                                \
    X(WEFT_EMFILE, -EMFILE, OP, "too many open files")                                             \
    X(WEFT_ENOSPC, -ENOSPC, OP, "no space left")                                                   \
    X(WEFT_ERANGE, -ERANGE, OP, "out of range")                                                    \
    X(WEFT_EPROTO, -EPROTO, OP, "malformed message")                                               \
    X(WEFT_EMSGSIZE, -EMSGSIZE, OP, "message too large")                                           \
    X(WEFT_ENOTSUP, -ENOTSUP, OP, "not supported")                                                 \
    X(WEFT_EADDRINUSE, -EADDRINUSE, ENDPOINT, "address in use")                                    \
    X(WEFT_EADDRNOTAVAIL, -EADDRNOTAVAIL, ENDPOINT, "address not available")                       \
    X(WEFT_ECONNREFUSED, -ECONNREFUSED, PEER, "connection refused")                                \
    X(WEFT_ECONNRESET, -ECONNRESET, PEER, "connection lost")                                       \
    X(WEFT_EHOSTUNREACH, -EHOSTUNREACH, PEER, "host cannot be reached")                            \
    X(WEFT_ETIMEDOUT, -ETIMEDOUT, OP, "deadline passed")                                           \
    X(WEFT_ECANCELED, -ECANCELED, OP, "cancelled")                                                 \
    X(WEFT_ESHUTDOWN, -ESHUTDOWN, ENDPOINT, "shutting down")                                       \
    X(WEFT_ESTALE, -ESTALE, OP, "stale: it has moved or changed")                                  \
    X(WEFT_EOWNERDEAD, -EOWNERDEAD, OP, "locked, and its last owner has died")                     \
    X(WEFT_EUNKNOWNCALL, -2001, OP, "unknown call code")                                           \
    X(WEFT_EVERSION, -2002, PEER, "incompatible protocol version")                                 \
    X(WEFT_ENOSLOTS, -2003, OP, "not enough free slots")                                           \
    X(WEFT_EPEERDEAD, -2004, PEER, "peer has died")                                                \
    X(WEFT_EREGISTRY, -2005, OP, "registry cannot be reached")                                     \
    X(WEFT_ECHECKSUM, -2006, OP, "checksum does not match")                                        \
    X(WEFT_EPINNED, -2007, OP, "rank cannot move")                                                 \
    X(WEFT_EAPP, -2008, OP, "the app failed")                                                      \
    X(WEFT_EHOSTDEAD, -2009, HOST, "host is dead")                                                 \
    X(WEFT_EFAULT, -2010, OP, "handler failed")

enum weft_err {
#define X(name, code, damage, text) name = (code),
    WEFT_ERRORS(X)
#undef X
};

/* The symbolic name of an error, e.g. "WEFT_EAGAIN"; "WEFT_E?" for an unknown code.
 * Thread: any.  Blocks: no. */
WEFT_API const char *weft_error_name(int err);

/* The fixed text of an error.  Thread: any.  Blocks: no. */
WEFT_API const char *weft_error_text(int err);

/* What the error leaves broken; an unknown negative code damages the operation only.  Thread: any.
 */
WEFT_API enum weft_damage weft_error_damage(int err);

/* Notes for this thread what failed, to what, and what to do; returns err, so that "return
 * weft_fail(...)" reads well. Thread: any.  Blocks: no. */
WEFT_API int weft_fail(int err, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* The newest text that weft_fail() noted in this thread for err, or weft_error_text(err) where
 * there is none. Owns: valid until the next weft_fail() of this thread. */
WEFT_API const char *weft_fail_text(int err);

/* After how many milliseconds to try again what this thread was last refused with WEFT_EAGAIN, as
 * whoever was full estimated; 0: nobody said. weft_fail() sets it to 0. */
WEFT_API uint32_t weft_fail_retry_ms(void);

/* Notes WEFT_EAGAIN's hint, after its weft_fail(). */
WEFT_API void weft_fail_set_retry_ms(uint32_t retry_ms);

/* Forgets this thread's text. */
WEFT_API void weft_fail_clear(void);

#ifdef __cplusplus
}
#endif

#ifdef __clang_analyzer__
/* Static analysis does not see by itself that weft_fail() returns its first argument. */
#define weft_fail(err, ...) (weft_fail((err), __VA_ARGS__), (err))
#endif

#endif
