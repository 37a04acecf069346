#include "party.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void party_open(struct party *party, const struct weft_service_options *service)
{
    const struct weft_server_options server = {.services = service, .services_n = 1};

    memset(party, 0, sizeof(*party));
    assert_int_equal(weft_server_start(&server, &party->server), WEFT_OK);
    assert_int_equal(weft_client_open(NULL, &party->client), WEFT_OK);
    snprintf(party->url, sizeof(party->url), "tcp://127.0.0.1:%u",
             weft_server_sync_port(party->server, 0));
    snprintf(party->async_url, sizeof(party->async_url), "tcp://127.0.0.1:%u",
             weft_server_async_port(party->server, 0));
}

void party_close(struct party *party)
{
    weft_client_close(party->client);
    weft_server_stop(party->server, PARTY_TIMEOUT_MS);
}

struct weft_service_stats party_stats(const struct party *party)
{
    struct weft_service_stats stats;

    weft_server_stats(party->server, 0, &stats);
    return stats;
}

int party_ask(const struct party *party, struct weft_client *client, uint16_t code,
              const char *text, char text_out[PARTY_TEXT])
{
    const struct weft_client_request request = {.url = party->url,
                                                .code = code,
                                                .body = text,
                                                .body_bytes = strlen(text),
                                                .timeout_ms = PARTY_TIMEOUT_MS};
    void *reply;
    size_t reply_bytes;
    int rc = weft_client_call(client, &request, &reply, &reply_bytes);

    if (rc != WEFT_OK)
        return rc;
    if (text_out != NULL)
        snprintf(text_out, PARTY_TEXT, "%.*s", (int)reply_bytes, (const char *)reply);
    free(reply);
    return WEFT_OK;
}

static void answered(void *ctx, int err, const char *text, const void *body, size_t body_bytes)
{
    struct party_answer *answer = ctx;

    answer->err = err;
    answer->retry_ms = weft_fail_retry_ms();
    if (err == WEFT_OK)
        snprintf(answer->text, PARTY_TEXT, "%.*s", (int)body_bytes, (const char *)body);
    else
        snprintf(answer->text, PARTY_TEXT, "%s", text);
    atomic_fetch_add(&answer->over, 1);
}

int party_start(const struct party *party, uint16_t code, const char *text, uint32_t timeout_ms,
                struct party_answer *answer)
{
    const struct weft_client_request request = {.url = party->url,
                                                .code = code,
                                                .body = text,
                                                .body_bytes = strlen(text),
                                                .timeout_ms = timeout_ms};

    memset(answer, 0, sizeof(*answer));
    return weft_client_start(party->client, &request, answered, answer, &answer->ticket);
}
