/* A peer process that is killed: what is under way to it ends with errors, and nothing hangs.
 * The peer is this program again, started with its role and the transport as arguments. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair.h"
#include "weft/error.h"

#define SHARED_BYTES ((size_t)64 << 20)

extern char **environ;

/* The peer: says its address and key on stdout, then lives until it is killed. */
static int be_peer(void)
{
    static struct end end;
    end_open(&end, "peer", "thread");
    void *bytes = calloc(1, SHARED_BYTES);
    struct weft_lane_region *region;
    struct weft_lane_key key;
    if (!bytes ||
        weft__lane_register(end.lane, bytes, SHARED_BYTES, WEFT_TP_READ, &region, &key) != WEFT_OK)
        return 1;
    printf("%s %llx %llx %llx\n", weft__lane_address(end.lane), (unsigned long long)key.tp.key,
           (unsigned long long)key.tp.base, (unsigned long long)key.tp.len_bytes);
    fflush(stdout);
    for (;;)
        pause();
}

struct peer {
    pid_t pid;
    FILE *says;
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key key;
};

static void peer_start(struct peer *peer)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    char *argv[] = {(char *)"peer", (char *)(uintptr_t)pair_scheme, (char *)"peer", NULL};
    assert_int_equal(posix_spawn(&peer->pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    peer->says = fdopen(ends[0], "r");
    assert_non_null(peer->says);
    unsigned long long key, base, len;
    assert_int_equal(fscanf(peer->says, "%543s %llx %llx %llx", peer->address, &key, &base, &len),
                     4);
    peer->key = (struct weft_lane_key){{key, base, len}};
}

static void peer_kill(struct peer *peer)
{
    assert_int_equal(kill(peer->pid, SIGKILL), 0);
    assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
    fclose(peer->says);
}

static void meet(struct end *end, struct peer *peer)
{
    peer_start(peer);
    end_open(end, "here", "thread");
    assert_int_equal(weft__lane_peer(end->lane, peer->address, &end->other), WEFT_OK);
}

static void gets_from_a_killed_process_end_with_an_error(void **state)
{
    (void)state;
    struct end end = {0};
    struct peer peer;
    meet(&end, &peer);
    unsigned char *into = malloc(SHARED_BYTES);
    struct pull first, pulls[4];
    pull_start(&end, &first, &peer.key, into, 4096); /* connected */
    while (!atomic_load(&first.ended))
        sched_yield();
    assert_int_equal(first.err, WEFT_OK);
    for (unsigned i = 0; i < 4; i++)
        pull_start(&end, &pulls[i], &peer.key, into, SHARED_BYTES);
    peer_kill(&peer);
    for (unsigned i = 0; i < 4; i++)
        while (!atomic_load(&pulls[i].ended))
            sched_yield();
    for (unsigned i = 0; i < 4; i++)
        if (pulls[i].err != WEFT_OK) /* one may just have made it */
            assert_int_equal(weft_error_damage(pulls[i].err), WEFT_DAMAGE_PEER);
    assert_int_not_equal(pulls[3].err, WEFT_OK);
    weft__lane_close(end.lane);
    free(into);
}

static void messages_to_a_killed_process_end_as_lost(void **state)
{
    (void)state;
    struct end end = {0};
    struct peer peer;
    meet(&end, &peer);
    for (unsigned i = 0; i < 100; i++)
        end_send(&end, "are you there", 14);
    peer_kill(&peer);
    while (!atomic_load(&end.lost))
        end_send(&end, "are you there", 14);
    /* And again: the dead address is tried anew, and lost anew. */
    unsigned before = atomic_load(&end.lost);
    struct weft_lane_stats stats;
    do {
        end_send(&end, "are you there", 14);
        weft__lane_stats(end.lane, &stats);
    } while (atomic_load(&end.lost) == before);
    assert_true(stats.peers_lost >= 1);
    weft__lane_close(end.lane);
}

static void closing_does_not_wait_for_the_dead(void **state)
{
    (void)state;
    struct end end = {0};
    struct peer peer;
    meet(&end, &peer);
    unsigned char *into = malloc(SHARED_BYTES);
    struct pull pull;
    pull_start(&end, &pull, &peer.key, into, SHARED_BYTES);
    peer_kill(&peer);
    end_send(&end, "too late", 9);
    weft__lane_close(end.lane);
    assert_int_equal(atomic_load(&pull.ended), 1);
    free(into);
}

/* A stopped process answers nothing and breaks no connection: only dropping it ends things. */
static void gets_from_a_stopped_process_end_when_it_is_dropped(void **state)
{
    (void)state;
    struct end end = {0};
    struct peer peer, alive;
    meet(&end, &peer);
    peer_start(&alive);
    unsigned char *into = malloc(SHARED_BYTES), *other = malloc(SHARED_BYTES);
    struct pull first, pull, good;
    pull_start(&end, &first, &peer.key, into, 4096);
    while (!atomic_load(&first.ended))
        sched_yield();
    assert_int_equal(kill(peer.pid, SIGSTOP), 0);
    pull_start(&end, &pull, &peer.key, into, SHARED_BYTES);
    struct end to_alive = {.lane = end.lane};
    assert_int_equal(weft__lane_peer(end.lane, alive.address, &to_alive.other), WEFT_OK);
    pull_start(&to_alive, &good, &alive.key, other, SHARED_BYTES);
    weft__lane_drop(end.lane, end.other);
    while (!atomic_load(&pull.ended) || !atomic_load(&good.ended))
        sched_yield();
    assert_int_not_equal(pull.err, WEFT_OK);
    assert_int_equal(good.err, WEFT_OK);
    memset(into, 7, SHARED_BYTES); /* ours again */
    weft__lane_close(end.lane);
    for (size_t i = 0; i < SHARED_BYTES; i++)
        assert_true(into[i] == 7);
    peer_kill(&peer);
    peer_kill(&alive);
    free(into);
    free(other);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        pair_scheme = argv[1];
    if (argc > 2)
        return be_peer();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_from_a_killed_process_end_with_an_error),
        cmocka_unit_test(messages_to_a_killed_process_end_as_lost),
        cmocka_unit_test(closing_does_not_wait_for_the_dead),
        cmocka_unit_test(gets_from_a_stopped_process_end_when_it_is_dropped),
    };
    return cmocka_run_group_tests_name(pair_scheme, tests, NULL, NULL);
}
