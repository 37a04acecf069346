/* weft/client.h over the control client: the same client, of which only calls of bytes are to be
 * seen from outside. Nothing is decided here.
 */
#include "weft/client.h"

#include <stdlib.h>

#include "control/client.h"
#include "control/security.h"

int weft_client_open(const struct weft_client_options *options, struct weft_client **client_out)
{
    const struct weft_client_desc desc = {.pending_max =
                                              options == NULL ? 0 : options->pending_max};

    int rc = weft__security_prepare();

    return rc == WEFT_OK ? weft__client_open(&desc, client_out) : rc;
}

void weft_client_close(struct weft_client *client)
{
    weft__client_close(client);
}

static struct weft_client_call call_of(const struct weft_client_request *request)
{
    return (struct weft_client_call){.url = request->url,
                                     .code = request->code,
                                     .timeout_ms = request->timeout_ms,
                                     .flags = request->flags,
                                     .body = request->body,
                                     .body_len = request->body_bytes};
}

int weft_client_call(struct weft_client *client, const struct weft_client_request *request,
                     void **reply_out, size_t *reply_bytes_out)
{
    const struct weft_client_call call = call_of(request);
    size_t reply_bytes;
    void *reply;
    int rc = weft__client_wait_bytes(client, &call, &reply, &reply_bytes);

    if (rc != WEFT_OK)
        return rc;
    if (reply_bytes_out != NULL)
        *reply_bytes_out = reply_bytes;
    if (reply_out != NULL)
        *reply_out = reply;
    else
        free(reply);
    return WEFT_OK;
}

int weft_client_start(struct weft_client *client, const struct weft_client_request *request,
                      weft_client_answer *answer, void *ctx, struct weft_client_ticket *ticket_out)
{
    struct weft_client_call call = call_of(request);

    if (answer == NULL)
        return weft_fail(WEFT_EINVAL, "call %u has nobody to answer to", request->code);
    call.done_bytes = answer;
    call.ctx = ctx;
    call.ticket_out = ticket_out;
    return weft__client_start(client, &call);
}

void weft_client_cancel(struct weft_client *client, struct weft_client_ticket ticket)
{
    weft__client_cancel(client, ticket);
}

int weft_client_push(struct weft_client *client, const char *url, uint16_t code, const void *body,
                     size_t body_bytes)
{
    return weft__client_push_bytes(client, url, code, body, body_bytes);
}
