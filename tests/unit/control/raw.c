#include "raw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "rig.h"

void raw_open(struct raw *raw, int type, const char *url)
{
    int linger_ms = 0, no_limit = 0, timeout_ms = 3 * RIG_TIMEOUT_MS;

    raw->ctx = zmq_ctx_new();
    raw->sock = zmq_socket(raw->ctx, type);
    zmq_setsockopt(raw->sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(raw->sock, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(raw->sock, ZMQ_SNDHWM, &no_limit, sizeof(no_limit));
    assert_int_equal(zmq_connect(raw->sock, url), 0);
}

void raw_open_deaf(struct raw *raw, const char *url)
{
    int linger_ms = 0, one = 1, small = 4096;

    raw->ctx = zmq_ctx_new();
    raw->sock = zmq_socket(raw->ctx, ZMQ_DEALER);
    zmq_setsockopt(raw->sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(raw->sock, ZMQ_RCVHWM, &one, sizeof(one));
    zmq_setsockopt(raw->sock, ZMQ_RCVBUF, &small, sizeof(small));
    assert_int_equal(zmq_connect(raw->sock, url), 0);
}

void raw_close(struct raw *raw)
{
    zmq_close(raw->sock);
    zmq_ctx_term(raw->ctx);
}

void raw_say(struct raw *raw, struct weft_frame frame, const char *body)
{
    size_t len_bytes = strlen(body);
    uint8_t *data = malloc(WEFT_FRAME_HEADER_BYTES + len_bytes);

    frame.body_len = (uint32_t)len_bytes;
    weft__frame_encode_header(&frame, data);
    memcpy(data + WEFT_FRAME_HEADER_BYTES, body, len_bytes);
    assert_int_equal(zmq_send(raw->sock, data, WEFT_FRAME_HEADER_BYTES + len_bytes, 0),
                     WEFT_FRAME_HEADER_BYTES + len_bytes);
    free(data);
}

void raw_hear(struct raw *raw, struct raw_answer *answer_out)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + RAW_BODY];
    int len = zmq_recv(raw->sock, data, sizeof(data), 0);

    assert_in_range(len, WEFT_FRAME_HEADER_BYTES, (int)sizeof(data) - 1);
    assert_int_equal(weft__frame_decode(data, (size_t)len, RAW_BODY, &answer_out->frame), 0);
    memcpy(answer_out->body, answer_out->frame.body, answer_out->frame.body_len);
    answer_out->body[answer_out->frame.body_len] = '\0';
    answer_out->frame.body = (const uint8_t *)answer_out->body;
}

int raw_hear_of(struct raw *raw, uint64_t correlation, struct raw_answer *answer_out)
{
    raw_hear(raw, answer_out);
    assert_true(answer_out->frame.correlation == correlation);
    return answer_out->frame.error;
}

bool raw_silent(struct raw *raw)
{
    zmq_pollitem_t item = {.socket = raw->sock, .events = ZMQ_POLLIN};

    return zmq_poll(&item, 1, 0) == 0;
}
