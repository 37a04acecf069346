/* For ThreadSanitizer builds only. libzmq is not instrumented: what its threads hand to each other
 * looks like races on the memory that memcpy, malloc and recv touch inside of it, and on received
 * bytes when we read them. So the calls that libzmq itself makes are left out, and those of
 * libsodium, which decrypts into these bytes for it; every access that our own code makes is still
 * checked. */
#include "weft/api.h"

/* Named by the linker's option -u, which pulls this file out of its library. */
extern const int weft__zmq_tsan;
const int weft__zmq_tsan = 1;

WEFT_API const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libzmq.so.5\ncalled_from_lib:libsodium.so.23\n";
}
