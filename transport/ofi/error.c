/* libfabric's errors as ours, in one place.
 *
 * tcp-class providers end what was under way on a broken connection with FI_ECANCELED: for the
 * caller that is a lost connection, not a cancellation, because weft never cancels an operation at
 * libfabric.
 */
#include <errno.h>
#include <stdlib.h>

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
