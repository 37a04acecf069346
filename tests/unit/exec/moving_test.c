/* Ranks that move between real processes over a real transport (argv[1]): nothing is lost, doubled
 * or reordered, whatever goes wrong on the way. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "exec/exec.h"
#include "weft/error.h"

static const char *scheme = "zmq";

static void open_cluster(struct cluster *cluster, int n, int32_t size, const int *placement,
                         const char *program)
{
    char line[4096];
    snprintf(line, sizeof(line), PROGRAMS "/%s", program);
    struct cluster_desc desc = {
        .n = n, .size = size, .placement = placement, .scheme = scheme, .program = line};
    if (!cluster_open(cluster, &desc))
        exit(77);
}

static void expect_codes(struct cluster *cluster, int base, int step)
{
    for (int32_t rank = 0; rank < cluster->size; rank++)
        assert_int_equal(cluster_exit_code(cluster, rank), base + step * (int)rank);
}

static void packets_of_every_size_go_round_between_processes(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 0, 1};
    struct cluster cluster;
    open_cluster(&cluster, 2, 4, placement, "ring.so 300");
    cluster_start(&cluster);
    expect_codes(&cluster, 10, 1);
    assert_int_equal(cluster_stat(&cluster, "malformed"), 0);
    cluster_close(&cluster);
}

static void exposed_memory_is_pulled_between_processes(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 1};
    struct cluster cluster;
    open_cluster(&cluster, 2, 3, placement, "gets.so 3000000 10");
    cluster_start(&cluster);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void a_rank_moves_there_and_back_and_its_clock_goes_forward(void **state)
{
    (void)state;
    static const int placement[] = {0};
    struct cluster cluster;
    open_cluster(&cluster, 2, 1, placement, "idle.so 6");
    cluster_start(&cluster);
    for (int i = 0; i < 6; i++)
        cluster_move(&cluster, 0, 1 - i % 2, true);
    assert_int_equal(cluster_exit_code(&cluster, 0), 6 * 16);
    cluster_close(&cluster);
}

/* 20 times there and back while two others flood it. */
static void flood(bool wait_for_flush)
{
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    uint64_t forwarded = 0;
    open_cluster(&cluster, 3, 3, placement, "flood.so 40");
    cluster_start(&cluster);
    for (int i = 0; i < 40; i++)
        forwarded += cluster_move(&cluster, 2, i % 2 ? 2 : 0, wait_for_flush);
    expect_codes(&cluster, 0, 0);
    uint64_t counted = cluster_stat(&cluster, "forwarded");
    print_message("%s: forwarded %" PRIu64 ", held %" PRIu64 ", duplicates %" PRIu64
                  ", sent %" PRIu64 ", retransmitted %" PRIu64 ", nacked %" PRIu64 "\n",
                  scheme, counted, cluster_stat(&cluster, "held"),
                  cluster_stat(&cluster, "duplicates"), cluster_stat(&cluster, "sent"),
                  cluster_stat(&cluster, "retransmitted"), cluster_stat(&cluster, "nacked"));
    assert_true(counted > 0);
    if (wait_for_flush)
        assert_true(forwarded > 0 && forwarded <= counted);
    cluster_close(&cluster);
}

static void a_flooded_rank_that_moves_forty_times_gets_every_packet_once_and_in_order(void **state)
{
    (void)state;
    flood(true);
}

static void the_same_holds_when_it_moves_on_before_anything_is_flushed(void **state)
{
    (void)state;
    flood(false);
}

static void gets_survive_the_moves_of_their_source(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 3, 3, placement, "gets.so 2000000 20 10");
    cluster_start(&cluster);
    for (int i = 0; i < 10; i++)
        cluster_move(&cluster, 2, i % 2 ? 2 : i % 4 ? 1 : 0, true);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static bool has_exited(const struct helper *helper)
{
    for (const struct line *line = helper->events; line; line = line->next)
        if (strncmp(line->text, "exited ", 7) == 0)
            return true;
    return false;
}

/* The process that a rank leaves still has its frozen memory, which lacks what the rank has exposed
 * since it went on elsewhere. */
static void what_a_rank_exposes_before_its_old_process_hears_of_the_move_is_pulled(void **state)
{
    (void)state;
    static const int placement[] = {0, 0};
    struct cluster cluster;
    open_cluster(&cluster, 2, 2, placement, "late.so");
    cluster_start(&cluster);
    helper_do(&cluster.helpers[1], "reserve 1");
    char *descriptor = cluster_freeze(&cluster, 1);
    cluster_pull(&cluster, 1, 1, descriptor);
    free(descriptor);
    helper_do(&cluster.helpers[1], "resume 1 2");
    while (cluster_stat(&cluster, "restarted") == 0 && !has_exited(&cluster.helpers[0])) {
    }
    helper_do(&cluster.helpers[0], "depart 1 1 2");
    cluster.place[1] = 1;
    cluster.incarnation[1] = 2;
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void a_failed_pull_leaves_the_rank_where_it_was(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 3, 3, placement, "flood.so 2");
    cluster_start(&cluster);
    struct helper *source = &cluster.helpers[2], *dest = &cluster.helpers[0];
    helper_do(dest, "reserve 2");
    char *descriptor = cluster_freeze(&cluster, 2);
    size_t len = strlen(descriptor);
    descriptor[len - 30] = descriptor[len - 30] == '0' ? '1' : '0';
    const char *reply = helper_ask(dest, "pull 2 %s", descriptor);
    if (strncmp(reply, "ok", 2) == 0) {
        char *event = helper_event(dest, "pulled 2 ");
        assert_true(strncmp(event, "pulled 2 0 ", 11) != 0);
        free(event);
    }
    helper_do(source, "thaw 2 1");
    assert_non_null(strstr(helper_ask(dest, "state 2"), "reserved"));
    assert_true(strncmp(helper_ask(dest, "resume 2 2"), "err", 3) == 0);
    free(descriptor);
    /* the same reservation serves the next try */
    descriptor = cluster_freeze(&cluster, 2);
    cluster_pull(&cluster, 2, 0, descriptor);
    free(descriptor);
    cluster_commit(&cluster, 2, 0);
    cluster_tell(&cluster, 2, 2, 0);
    cluster_move(&cluster, 2, 1, true);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void a_move_that_is_called_off_changes_nothing(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 3, 3, placement, "flood.so 1");
    cluster_start(&cluster);
    struct helper *source = &cluster.helpers[2], *dest = &cluster.helpers[0];
    for (int i = 0; i < 5; i++) {
        helper_do(dest, "reserve 2");
        char *descriptor = cluster_freeze(&cluster, 2);
        if (i % 2) {
            helper_do(dest, "pull 2 %s", descriptor);
            if (i == 1)
                free(helper_event(dest, "pulled 2 0 "));
            helper_do(dest, "discard 2");
            if (i == 3)
                free(helper_event(dest, "pulled 2 "));
        } else {
            helper_do(dest, "discard 2");
        }
        free(descriptor);
        helper_do(source, "thaw 2 1");
    }
    assert_true(strncmp(helper_ask(dest, "discard 2"), "err -2 ", 7) == 0);
    cluster_move(&cluster, 2, 0, true);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

/* What the rank and its peer have exchanged, wherever the rank was. */
static struct weft_exec_traffic traffic(struct cluster *cluster, int32_t rank, int32_t peer)
{
    struct weft_exec_traffic sum = {.peer = peer};
    for (int i = 0; i < cluster->n; i++) {
        struct weft_exec_traffic part;
        const char *reply = helper_ask(&cluster->helpers[i], "traffic %d %d", (int)rank, (int)peer);
        assert_int_equal(sscanf(reply, "ok %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                                &part.sent_bytes, &part.sent, &part.got_bytes, &part.got),
                         4);
        sum.sent_bytes += part.sent_bytes;
        sum.sent += part.sent;
        sum.got_bytes += part.got_bytes;
        sum.got += part.got;
    }
    return sum;
}

static void what_a_rank_exchanges_is_counted_once_across_its_moves(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 3, 3, placement, "flood.so 10");
    cluster_start(&cluster);
    for (int i = 0; i < 10; i++) {
        cluster_move(&cluster, 2, i % 2 ? 2 : 0, i % 3 == 0);
        if (i % 4 == 0) /* where it is asked and where not must not matter */
            (void)traffic(&cluster, 2, 0);
    }
    expect_codes(&cluster, 0, 0);
    for (int32_t peer = 0; peer < 2; peer++) {
        struct weft_exec_traffic there = traffic(&cluster, peer, 2);
        struct weft_exec_traffic back = traffic(&cluster, 2, peer);
        uint64_t numbers = there.sent - 1; /* the last packet says so */
        uint64_t answers = numbers < 7 ? 0 : (numbers - 7) / 32 + 1;
        answers += numbers % 32 == 7; /* the last packet is answered as the one before it was */
        assert_int_equal(back.sent, answers + 1); /* and the one that stops the flood */
        assert_int_equal(there.sent_bytes, 64 * there.sent);
        assert_int_equal(back.sent_bytes, 64 * back.sent);
        assert_int_equal(there.got + back.got, 0);
    }
    cluster_close(&cluster);
}

static void the_forwarder_can_die_and_nothing_is_lost(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 4, 3, placement, "flood.so 2");
    cluster_start(&cluster);
    helper_do(&cluster.helpers[3], "reserve 2");
    char *descriptor = cluster_freeze(&cluster, 2);
    cluster_pull(&cluster, 2, 3, descriptor);
    free(descriptor);
    cluster_commit(&cluster, 2, 3);
    cluster_kill(&cluster, 2);
    cluster_tell(&cluster, 2, 3, -1);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            helper_do(&cluster.helpers[i], "dead 2");
    cluster_move(&cluster, 2, 0, true);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void who_hears_of_a_rank_by_its_packets_alone_can_answer_it(void **state)
{
    (void)state;
    static const int placement[] = {0, 1};
    struct cluster cluster;
    open_cluster(&cluster, 3, 2, placement, "late.so");
    cluster_start(&cluster);
    helper_do(&cluster.helpers[2], "reserve 1");
    char *descriptor = cluster_freeze(&cluster, 1);
    cluster_pull(&cluster, 1, 2, descriptor);
    free(descriptor);
    cluster_kill(&cluster, 1);
    helper_do(&cluster.helpers[0], "dead 1");
    helper_do(&cluster.helpers[2], "dead 1");
    cluster.place[1] = 2;
    cluster.incarnation[1]++;
    helper_do(&cluster.helpers[2], "resume 1 %u", cluster.incarnation[1]);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void who_sends_to_a_dead_process_asks_where_the_rank_is(void **state)
{
    (void)state;
    static const int placement[] = {0, 1};
    struct cluster cluster;
    open_cluster(&cluster, 3, 2, placement, "flood.so 1");
    cluster_start(&cluster);
    helper_do(&cluster.helpers[2], "reserve 1");
    char *descriptor = cluster_freeze(&cluster, 1);
    cluster_pull(&cluster, 1, 2, descriptor);
    free(descriptor);
    cluster_kill(&cluster, 1);
    helper_do(&cluster.helpers[0], "dead 1");
    helper_do(&cluster.helpers[2], "dead 1");
    free(helper_event(&cluster.helpers[0], "wanted 1"));
    cluster.place[1] = 2;
    cluster.incarnation[1]++;
    helper_do(&cluster.helpers[2], "resume 1 %u", cluster.incarnation[1]);
    cluster_tell(&cluster, 1, 2, -1);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

static void a_destination_that_dies_before_the_commit_costs_nothing(void **state)
{
    (void)state;
    static const int placement[] = {0, 1, 2};
    struct cluster cluster;
    open_cluster(&cluster, 4, 3, placement, "flood.so 1");
    cluster_start(&cluster);
    helper_do(&cluster.helpers[3], "reserve 2");
    char *descriptor = cluster_freeze(&cluster, 2);
    helper_do(&cluster.helpers[3], "pull 2 %s", descriptor);
    cluster_kill(&cluster, 3);
    for (int i = 0; i < 3; i++)
        helper_do(&cluster.helpers[i], "dead 3");
    free(descriptor);
    helper_do(&cluster.helpers[2], "thaw 2 1");
    cluster_move(&cluster, 2, 0, true);
    expect_codes(&cluster, 0, 0);
    cluster_close(&cluster);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        scheme = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_every_size_go_round_between_processes),
        cmocka_unit_test(exposed_memory_is_pulled_between_processes),
        cmocka_unit_test(a_rank_moves_there_and_back_and_its_clock_goes_forward),
        cmocka_unit_test(a_flooded_rank_that_moves_forty_times_gets_every_packet_once_and_in_order),
        cmocka_unit_test(the_same_holds_when_it_moves_on_before_anything_is_flushed),
        cmocka_unit_test(gets_survive_the_moves_of_their_source),
        cmocka_unit_test(what_a_rank_exposes_before_its_old_process_hears_of_the_move_is_pulled),
        cmocka_unit_test(a_failed_pull_leaves_the_rank_where_it_was),
        cmocka_unit_test(a_move_that_is_called_off_changes_nothing),
        cmocka_unit_test(what_a_rank_exchanges_is_counted_once_across_its_moves),
        cmocka_unit_test(the_forwarder_can_die_and_nothing_is_lost),
        cmocka_unit_test(who_hears_of_a_rank_by_its_packets_alone_can_answer_it),
        cmocka_unit_test(who_sends_to_a_dead_process_asks_where_the_rank_is),
        cmocka_unit_test(a_destination_that_dies_before_the_commit_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
