/* Channels: the window, acknowledgements, timers; and, over a wire that loses, doubles and
 * reorders, every packet once and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group/channel.h"
#include "group/hold.h"
#include "group/packet.h"
#include "weft/error.h"

static const struct weft_channel_limits limits = {
    .packets = 8, .bytes = 800, .resend_first_ns = 100, .resend_max_ns = 400};

static struct weft_channel_packet *make(uint32_t len)
{
    struct weft_channel_packet *packet = calloc(1, sizeof(*packet) + len);
    packet->len_bytes = len;
    return packet;
}

static unsigned free_list(struct weft_channel_packet *packet)
{
    unsigned n = 0;
    while (packet) {
        struct weft_channel_packet *next = packet->next;
        free(packet);
        packet = next;
        n++;
    }
    return n;
}

static void push(struct weft_channel *channel, uint32_t len)
{
    assert_int_equal(weft__channel_push(channel, &limits, make(len), false), 0);
}

static void send_all(struct weft_channel *channel, uint64_t now)
{
    while (weft__channel_unsent(channel))
        weft__channel_sent(channel, &limits, now);
}

static void sequences_begin_at_one_and_grow_by_one(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    push(&channel, 1);
    push(&channel, 1);
    assert_int_equal(channel.first->sequence, 1);
    assert_int_equal(channel.last->sequence, 2);
    free_list(channel.first);
}

static void a_full_window_refuses_the_next_packet(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    for (unsigned i = 0; i < limits.packets; i++)
        push(&channel, 1);
    struct weft_channel_packet *over = make(1);
    assert_int_equal(weft__channel_push(&channel, &limits, over, false), WEFT_EAGAIN);
    free(over);
    assert_int_equal(free_list(weft__channel_acknowledge(&channel, &limits, 1, 0)), 1);
    push(&channel, 1);
    free_list(channel.first);
}

static void a_window_is_bounded_in_bytes_but_takes_one_packet_of_any_size(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    push(&channel, 5000);
    assert_false(weft__channel_room(&channel, &limits, 1));
    free_list(weft__channel_acknowledge(&channel, &limits, 1, 0));
    push(&channel, 700);
    assert_true(weft__channel_room(&channel, &limits, 100));
    assert_false(weft__channel_room(&channel, &limits, 101));
    free_list(channel.first);
}

static void acknowledgements_of_nothing_new_or_of_the_future_change_nothing(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    push(&channel, 1);
    push(&channel, 1);
    assert_true(weft__channel_acks_all(&channel, 0));
    assert_false(weft__channel_acks_all(&channel, 1));
    assert_true(weft__channel_acks_all(&channel, 2));
    assert_null(weft__channel_acknowledge(&channel, &limits, 0, 0));
    assert_null(weft__channel_acknowledge(&channel, &limits, 3, 0));
    assert_null(weft__channel_acknowledge(&channel, &limits, UINT64_MAX, 0));
    assert_int_equal(free_list(weft__channel_acknowledge(&channel, &limits, 2, 0)), 2);
    assert_null(weft__channel_acknowledge(&channel, &limits, 2, 0));
    assert_int_equal(channel.packets, 0);
    assert_int_equal(channel.bytes, 0);
}

static void the_sender_asks_for_an_acknowledgement_by_half_the_window(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    for (unsigned i = 0; i < limits.packets; i++)
        push(&channel, 1);
    unsigned asked = 0;
    for (struct weft_channel_packet *at = channel.first; at; at = at->next)
        asked += at->flags & WEFT_PACKET_WANT_ACK ? 1 : 0;
    assert_int_equal(asked, 2);
    assert_true(channel.last->flags & WEFT_PACKET_WANT_ACK);
    free_list(channel.first);
}

static void a_window_that_is_full_in_bytes_holds_a_packet_that_asks(void **state)
{
    (void)state;
    for (uint32_t len = 1; len < 400; len++) {
        struct weft_channel channel;
        weft__channel_init(&channel);
        while (weft__channel_room(&channel, &limits, len))
            push(&channel, len);
        unsigned asked = 0;
        for (struct weft_channel_packet *at = channel.first; at; at = at->next)
            asked += at->flags & WEFT_PACKET_WANT_ACK ? 1 : 0;
        assert_true(asked > 0);
        free_list(channel.first);
    }
}

static void a_timer_resends_the_whole_window_and_backs_off(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    push(&channel, 1);
    push(&channel, 1);
    assert_int_equal(weft__channel_resend_at(&channel), UINT64_MAX);
    send_all(&channel, 1000);
    assert_int_equal(weft__channel_resend_at(&channel), 1100);
    assert_false(weft__channel_tick(&channel, &limits, 1099));
    uint64_t now = 1100, pause[] = {200, 400, 400};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(weft__channel_tick(&channel, &limits, now));
        assert_int_equal(weft__channel_unsent(&channel)->sequence, 1);
        send_all(&channel, now);
        assert_int_equal(weft__channel_resend_at(&channel), now + pause[i]);
        now += pause[i];
    }
    free_list(weft__channel_acknowledge(&channel, &limits, 1, now));
    assert_int_equal(weft__channel_resend_at(&channel), now + 100);
    free_list(weft__channel_acknowledge(&channel, &limits, 2, now));
    assert_int_equal(weft__channel_resend_at(&channel), UINT64_MAX);
}

static void a_rewind_sends_everything_again_at_once(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    push(&channel, 1);
    push(&channel, 1);
    send_all(&channel, 5);
    free_list(weft__channel_acknowledge(&channel, &limits, 1, 6));
    weft__channel_rewind(&channel);
    assert_int_equal(weft__channel_unsent(&channel)->sequence, 2);
    assert_int_equal(weft__channel_resend_at(&channel), UINT64_MAX);
    free_list(channel.first);
}

static void an_acknowledgement_in_the_middle_of_a_resend_skips_what_it_covers(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    for (unsigned i = 0; i < 4; i++)
        push(&channel, 1);
    send_all(&channel, 0);
    weft__channel_rewind(&channel);
    weft__channel_sent(&channel, &limits, 0);
    free_list(weft__channel_acknowledge(&channel, &limits, 3, 1));
    assert_int_equal(weft__channel_unsent(&channel)->sequence, 4);
    free_list(channel.first);
}

static void a_packet_that_is_accepted_at_once_takes_a_sequence(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    assert_int_equal(weft__channel_push_accepted(&channel), 1);
    assert_int_equal(weft__channel_push_accepted(&channel), 2);
    push(&channel, 1);
    assert_int_equal(channel.first->sequence, 3);
    free_list(channel.first);
}

static void arrivals_are_sorted_into_next_old_early_and_impossible(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    assert_int_equal(weft__channel_arrived(&channel, &limits, 0), WEFT_CHANNEL_BAD);
    assert_int_equal(weft__channel_arrived(&channel, &limits, 1), WEFT_CHANNEL_ACCEPT);
    assert_int_equal(weft__channel_arrived(&channel, &limits, 2), WEFT_CHANNEL_AHEAD);
    assert_int_equal(weft__channel_arrived(&channel, &limits, limits.packets), WEFT_CHANNEL_AHEAD);
    assert_int_equal(weft__channel_arrived(&channel, &limits, limits.packets + 1),
                     WEFT_CHANNEL_BAD);
    assert_int_equal(weft__channel_arrived(&channel, &limits, UINT64_MAX), WEFT_CHANNEL_BAD);
    weft__channel_accept(&channel, 0);
    assert_int_equal(weft__channel_arrived(&channel, &limits, 1), WEFT_CHANNEL_DUPLICATE);
}

static void an_acknowledgement_is_owed_after_accepting_and_due_when_it_was_asked_for(void **state)
{
    (void)state;
    struct weft_channel channel;
    weft__channel_init(&channel);
    assert_false(weft__channel_ack_owed(&channel));
    weft__channel_accept(&channel, 0);
    assert_true(weft__channel_ack_owed(&channel));
    assert_false(weft__channel_ack_due(&channel));
    weft__channel_accept(&channel, WEFT_PACKET_WANT_ACK);
    assert_true(weft__channel_ack_due(&channel));
    assert_int_equal(weft__channel_ack(&channel), 2);
    weft__channel_ack_told(&channel);
    assert_false(weft__channel_ack_owed(&channel) || weft__channel_ack_due(&channel));
    weft__channel_duplicate(&channel);
    assert_true(weft__channel_ack_due(&channel));
}

/* ---- a wire that loses, doubles and reorders ---- */

#define WIRE_MAX 64

struct message {
    bool is_ack;
    uint64_t sequence; /* or the acknowledgement */
    uint32_t flags;
    uint64_t value;
};

struct wire {
    struct message messages[WIRE_MAX];
    unsigned n;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void put(struct wire *wire, struct message message, uint64_t *seed)
{
    unsigned copies = (unsigned)(next_random(seed) % 8);
    copies = copies == 0 ? 0 : copies == 1 ? 2 : 1; /* lost, doubled, or neither */
    for (unsigned i = 0; i < copies && wire->n < WIRE_MAX; i++)
        wire->messages[wire->n++] = message;
}

static struct message take(struct wire *wire, uint64_t *seed)
{
    unsigned i = (unsigned)(next_random(seed) % wire->n);
    struct message message = wire->messages[i];
    wire->messages[i] = wire->messages[--wire->n];
    return message;
}

struct pair {
    struct weft_channel sender, receiver;
    struct weft_hold hold;
    struct wire wire;
    uint64_t seed, now, sent, received;
};

static void accept(struct pair *pair, uint64_t value, uint32_t flags)
{
    assert_int_equal(value, pair->received + 1);
    pair->received++;
    weft__channel_accept(&pair->receiver, flags);
}

static void arrive_data(struct pair *pair, const struct message *message)
{
    struct weft_packet_header header = {.type = WEFT_PACKET_DATA,
                                        .flags = (uint8_t)message->flags,
                                        .sequence = message->sequence,
                                        .payload_len = sizeof(message->value)};
    switch (weft__channel_arrived(&pair->receiver, &limits, message->sequence)) {
    case WEFT_CHANNEL_ACCEPT:
        accept(pair, message->value, message->flags);
        break;
    case WEFT_CHANNEL_DUPLICATE:
        weft__channel_duplicate(&pair->receiver);
        break;
    case WEFT_CHANNEL_AHEAD:
        weft__hold_put(&pair->hold, &header, &message->value);
        break;
    case WEFT_CHANNEL_BAD:
        fail_msg("a sender that keeps to its window sent %llu",
                 (unsigned long long)message->sequence);
    }
    struct weft_held *held;
    while ((held = weft__hold_take(&pair->hold, 0, pair->receiver.next_in))) {
        uint64_t value;
        memcpy(&value, held->payload, sizeof(value));
        accept(pair, value, held->header.flags);
        free(held);
    }
}

static void step(struct pair *pair)
{
    pair->now += next_random(&pair->seed) % 30;
    if (weft__channel_room(&pair->sender, &limits, 8) && next_random(&pair->seed) % 2) {
        struct weft_channel_packet *packet = make(8);
        uint64_t value = ++pair->sent;
        memcpy(packet->payload, &value, sizeof(value));
        assert_int_equal(weft__channel_push(&pair->sender, &limits, packet, false), 0);
    }
    weft__channel_tick(&pair->sender, &limits, pair->now);
    if (next_random(&pair->seed) % 50 == 0)
        weft__channel_rewind(&pair->sender);
    struct weft_channel_packet *packet = weft__channel_unsent(&pair->sender);
    if (packet) {
        struct message message = {.sequence = packet->sequence, .flags = packet->flags};
        memcpy(&message.value, packet->payload, sizeof(message.value));
        put(&pair->wire, message, &pair->seed);
        weft__channel_sent(&pair->sender, &limits, pair->now);
    }
    if (pair->wire.n && next_random(&pair->seed) % 3) {
        struct message message = take(&pair->wire, &pair->seed);
        if (message.is_ack)
            free_list(
                weft__channel_acknowledge(&pair->sender, &limits, message.sequence, pair->now));
        else
            arrive_data(pair, &message);
    }
    bool late = weft__channel_ack_owed(&pair->receiver) && next_random(&pair->seed) % 16 == 0;
    if (weft__channel_ack_due(&pair->receiver) || late) {
        put(&pair->wire,
            (struct message){.is_ack = true, .sequence = weft__channel_ack(&pair->receiver)},
            &pair->seed);
        weft__channel_ack_told(&pair->receiver);
    }
}

static void over_a_bad_wire_every_packet_arrives_once_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct pair *pair = calloc(1, sizeof(*pair));
        pair->seed = seed * 0x9e3779b97f4a7c15ull;
        weft__channel_init(&pair->sender);
        weft__channel_init(&pair->receiver);
        assert_int_equal(weft__hold_init(&pair->hold, 1, limits.packets, 4096), 0);
        for (int i = 0; i < 5000; i++)
            step(pair);
        assert_true(pair->received > 100);
        assert_true(pair->sent - pair->received <= limits.packets);
        weft__hold_fini(&pair->hold);
        free_list(pair->sender.first);
        free(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_begin_at_one_and_grow_by_one),
        cmocka_unit_test(a_full_window_refuses_the_next_packet),
        cmocka_unit_test(a_window_is_bounded_in_bytes_but_takes_one_packet_of_any_size),
        cmocka_unit_test(acknowledgements_of_nothing_new_or_of_the_future_change_nothing),
        cmocka_unit_test(the_sender_asks_for_an_acknowledgement_by_half_the_window),
        cmocka_unit_test(a_window_that_is_full_in_bytes_holds_a_packet_that_asks),
        cmocka_unit_test(a_timer_resends_the_whole_window_and_backs_off),
        cmocka_unit_test(a_rewind_sends_everything_again_at_once),
        cmocka_unit_test(an_acknowledgement_in_the_middle_of_a_resend_skips_what_it_covers),
        cmocka_unit_test(a_packet_that_is_accepted_at_once_takes_a_sequence),
        cmocka_unit_test(arrivals_are_sorted_into_next_old_early_and_impossible),
        cmocka_unit_test(an_acknowledgement_is_owed_after_accepting_and_due_when_it_was_asked_for),
        cmocka_unit_test(over_a_bad_wire_every_packet_arrives_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
