/* libfabric's errors as ours, in one place.
 *
 * tcp-class providers end what was under way on a broken connection with FI_ECANCELED: for the
 * caller that is a lost connection, not a cancellation, because weft never cancels an operation at
 * libfabric.
 *
 * verbs says EIO of everything but a flushed queue; what happened is in the status of the work
 * completion, which is part of the verbs ABI.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fi_errno.h>

#include "transport/ofi/impl.h"
#include "weft/error.h"

int weft__ofi_err(ssize_t rc)
{
    long code = labs((long)rc);
    switch (code) {
    case 0:
        return WEFT_OK;
    case FI_EAGAIN:
    case FI_EBUSY:
        return WEFT_EAGAIN;
    case FI_ENOMEM:
        return WEFT_ENOMEM;
    case FI_EACCES:
    case FI_EPERM:
    case FI_ENOKEY:
        return WEFT_EACCES;
    case FI_ETRUNC:
    case FI_EMSGSIZE:
    case FI_ETOOSMALL:
        return WEFT_EMSGSIZE;
    case FI_ENODATA:
    case FI_ENOSYS:
    case FI_EOPNOTSUPP:
    case FI_EBADFLAGS:
        return WEFT_ENOTSUP;
    case FI_EADDRINUSE:
        return WEFT_EADDRINUSE;
    case FI_EADDRNOTAVAIL:
        return WEFT_EADDRNOTAVAIL;
    case FI_ECONNREFUSED:
        return WEFT_ECONNREFUSED;
    case FI_EHOSTUNREACH:
    case FI_ENETUNREACH:
    case FI_ETIMEDOUT:
    case EHOSTDOWN:
        return WEFT_EHOSTUNREACH;
    case FI_ECANCELED:
    case FI_ECONNRESET:
    case FI_ECONNABORTED:
    case FI_ENOTCONN:
    case FI_ESHUTDOWN:
    case EPIPE:
        return WEFT_ECONNRESET;
    case FI_EINVAL:
        return WEFT_EINVAL;
    default:
        return WEFT_EIO;
    }
}

int weft__ofi_completion_err(const struct ofi_ep *ep, const struct fi_cq_err_entry *entry)
{
    enum { REMOTE_INVALID = 9, REMOTE_ACCESS = 10, RETRIES_OUT = 12, RECEIVER_RETRIES_OUT = 13 };
    if (strncmp(ep->provider, "verbs", 5) != 0 || entry->err != FI_EIO)
        return weft__ofi_err(entry->err);
    switch (entry->prov_errno) {
    case REMOTE_INVALID:
    case REMOTE_ACCESS:
        return WEFT_EACCES;
    case RETRIES_OUT:
    case RECEIVER_RETRIES_OUT:
        return WEFT_EHOSTUNREACH;
    default:
        return WEFT_EIO;
    }
}
