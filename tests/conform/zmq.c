/* zmq as it is, and with keys: one pair, which both sides have. */
#include "transport/zmq/zmq.h"

#include <string.h>

#include <sodium.h>

#include "tests/conform/conform.h"
#include "tests/loopback.h"

static bool allow(void *ctx, const uint8_t client_key[WEFT_TP_KEY_BYTES])
{
    const struct weft_tp_security *security = ctx;
    return memcmp(client_key, security->public_key, WEFT_TP_KEY_BYTES) == 0;
}

static void server_key(void *ctx, const char *url, uint8_t key_out[WEFT_TP_KEY_BYTES])
{
    const struct weft_tp_security *security = ctx;
    (void)url;
    memcpy(key_out, security->public_key, WEFT_TP_KEY_BYTES);
}

static struct weft_tp_security keys = {.allow = allow, .server_key = server_key, .ctx = &keys};

static char own[OWN_LOOPBACK_MAX];

__attribute__((constructor)) static void make_keys(void)
{
    own_loopback(own);
    (void)crypto_box_keypair(keys.public_key, keys.secret_key);
}

const struct conform_subject conform_subjects[] = {
    {.name = "zmq",
     .transport = &weft__tp_zmq,
     .bind = own,
     .bind_foreign = "192.0.2.1",
     .url_format = "tcp://%s:%u"},
    {.name = "zmq+curve",
     .transport = &weft__tp_zmq,
     .bind = own,
     .bind_foreign = "192.0.2.1",
     .url_format = "tcp://%s:%u",
     .security = &keys},
    {.name = NULL},
};
