/* Large bodies are mappings of their own: they come zeroed, go back whole, and lie on pages that a
 * network card can be told of; small ones come from malloc. */
#include "state/body.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "weft/error.h"

#define MAPPED_FROM (UINT64_C(64) << 10)

int weft__body_new(uint64_t len, struct weft_body **body_out)
{
    struct weft_body *body = calloc(1, sizeof(*body));
    void *bytes = NULL;
    if (body != NULL && len >= MAPPED_FROM) {
        bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bytes = bytes == MAP_FAILED ? NULL : bytes;
    } else if (body != NULL) {
        bytes = calloc(1, len);
    }
    if (bytes == NULL) {
        free(body);
        return weft_fail(WEFT_ENOMEM, "no memory for a value of %llu bytes",
                         (unsigned long long)len);
    }
    body->bytes = bytes;
    body->len = len;
    body->refs = 1;
    *body_out = body;
    return WEFT_OK;
}

void weft__body_free(struct weft_body *body)
{
    if (body->len >= MAPPED_FROM)
        munmap(body->bytes, body->len);
    else
        free(body->bytes);
    free(body);
}
