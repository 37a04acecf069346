/* Groups over real weftd processes: many members that wait for each other with one worker in each
 * host, members and hosts that die. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "control/client.h"
#include "group/group.h"
#include "weft/error.h"
#include "weft/group.h"
#include "wire/group.pb-c.h"
#include "wire/message.h"

enum { HOSTS = 3, CALLERS = 64, ROUNDS = 20, LOCKS = 3, SOON_MS = CLUSTER_MS, DEAD_MS = 6000 };

struct scene {
    struct cluster *cluster;
    struct weft_groups *groups[HOSTS]; /* a connection to each host */
    uint64_t id;
    uint32_t n;
    const char *hosts[CALLERS];
    struct weft_group *members[CALLERS];
    unsigned at[CALLERS]; /* index of each member's host */
};

/* Groups are made as soon as a host knows the others. */
static void make(struct scene *scene)
{
    struct weft_group_desc desc = {
        .id = scene->id, .members = scene->n, .hosts = scene->hosts, .timeout_ms = SOON_MS};
    int err = WEFT_EHOSTUNREACH;
    cluster_await(scene->cluster, CLUSTER_MS,
                  (err = weft_group_create(scene->groups[0], &desc, &scene->id)) !=
                      WEFT_EHOSTUNREACH);
    if (err != WEFT_OK)
        cluster_fail(scene->cluster, "create: %s", weft_fail_text(err));
}

static void scene_open(struct scene *scene, struct cluster *cluster, uint32_t n)
{
    char dead[16];
    snprintf(dead, sizeof(dead), "%d", DEAD_MS);
    setenv("WEFT_DEAD_MS", dead, 1);
    setenv("WEFT_GROUP_SERVER_THREADS", "1", 1);
    cluster_three(cluster, 1);
    unsetenv("WEFT_GROUP_SERVER_THREADS");
    *scene = (struct scene){.cluster = cluster, .n = n};
    for (unsigned h = 0; h < HOSTS; h++)
        assert_int_equal(weft_groups_open(cluster->hosts[h].address, &scene->groups[h]), WEFT_OK);
    for (uint32_t i = 0; i < n; i++) {
        scene->at[i] = i % HOSTS;
        scene->hosts[i] = cluster->hosts[i % HOSTS].name;
    }
    make(scene);
}

static void open_members(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->n; i++) {
        int err =
            weft_group_open(scene->groups[scene->at[i]], scene->id, i, SOON_MS, &scene->members[i]);
        if (err != WEFT_OK)
            cluster_fail(scene->cluster, "open %u: %s", i, weft_fail_text(err));
    }
}

static void scene_close(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->n; i++)
        weft_group_leave(scene->members[i]);
    for (unsigned h = 0; h < HOSTS; h++)
        weft_groups_close(scene->groups[h]);
}

/* A member's thread. */
struct part {
    pthread_t thread;
    struct scene *scene;
    struct weft_group *group;
    int (*run)(struct part *part); /* an error, which ends the test */
    int err;
    char text[256];
};

static void *part_main(void *arg)
{
    struct part *part = arg;
    part->err = part->run(part);
    snprintf(part->text, sizeof(part->text), "%s", weft_fail_text(part->err));
    return NULL;
}

/* All members at once, each in a thread. */
static void all(struct scene *scene, int (*run)(struct part *part))
{
    struct part *parts = calloc(scene->n, sizeof(*parts));
    assert_non_null(parts);
    for (uint32_t i = 0; i < scene->n; i++) {
        parts[i].scene = scene;
        parts[i].group = scene->members[i];
        parts[i].run = run;
        assert_int_equal(pthread_create(&parts[i].thread, NULL, part_main, &parts[i]), 0);
    }
    for (uint32_t i = 0; i < scene->n; i++)
        pthread_join(parts[i].thread, NULL);
    for (uint32_t i = 0; i < scene->n; i++)
        if (parts[i].err != WEFT_OK)
            cluster_fail(scene->cluster, "member %u: %s", i, parts[i].text);
    free(parts);
}

/* ---- one worker ---- */

static atomic_uint inside, sections, rounds[CALLERS];

static int barriers_and_locks(struct part *part)
{
    int err = WEFT_OK;
    for (unsigned r = 0; r < ROUNDS && err == WEFT_OK; r++) {
        atomic_fetch_add(&rounds[weft_group_member(part->group)], 1);
        err = weft_group_barrier(part->group, SOON_MS);
        for (unsigned i = 0; i < CALLERS && err == WEFT_OK; i++)
            if (atomic_load(&rounds[i]) < r + 1)
                err = weft_fail(WEFT_EINVAL, "member %u was not in round %u", i, r);
    }
    for (unsigned i = 0; i < LOCKS && err == WEFT_OK; i++) {
        err = weft_group_lock(part->group, SOON_MS);
        if (err != WEFT_OK)
            return err;
        if (atomic_fetch_add(&inside, 1) != 0)
            return weft_fail(WEFT_EINVAL, "two members have the lock");
        atomic_fetch_add(&sections, 1);
        atomic_fetch_sub(&inside, 1);
        err = weft_group_unlock(part->group);
    }
    return err != WEFT_OK ? err : weft_group_notify(part->group, SOON_MS);
}

static uint64_t frames_sent(const struct scene *scene, unsigned host, uint64_t *acks_out)
{
    char url[64];
    const char *control = scene->cluster->hosts[host].url;
    const char *colon = strrchr(control, ':');
    ProtobufCMessage *reply = NULL;
    uint64_t sum = 0;
    snprintf(url, sizeof(url), "%.*s:%lu", (int)(colon - control), control,
             strtoul(colon + 1, NULL, 10) + WEFT_GROUP_PORT_AT);
    struct weft_client_call call = {.url = url,
                                    .code = WEFT_GROUP_STATS,
                                    .reply_type = &weft__group__stats__descriptor,
                                    .timeout_ms = SOON_MS};
    assert_int_equal(weft__client_wait(scene->cluster->client, &call, &reply), WEFT_OK);
    const Weft__Group__Stats *stats = (const Weft__Group__Stats *)reply;
    for (size_t i = 0; i < stats->n_hosts; i++) {
        sum += stats->hosts[i]->frames;
        *acks_out += stats->hosts[i]->acks + stats->hosts[i]->resent;
    }
    weft__message_free(reply);
    return sum;
}

static uint64_t frames(const struct scene *scene, uint64_t *acks_out)
{
    uint64_t sum = 0;
    *acks_out = 0;
    for (unsigned h = 0; h < HOSTS; h++)
        sum += frames_sent(scene, h, acks_out);
    return sum;
}

static int barriers_alone(struct part *part)
{
    int err = WEFT_OK;
    for (unsigned r = 0; r < ROUNDS && err == WEFT_OK; r++)
        err = weft_group_barrier(part->group, SOON_MS);
    return err;
}

static void
sixty_four_callers_wait_for_each_other_with_one_worker_in_each_of_three_hosts(void **state)
{
    struct scene scene;
    uint64_t acks_before, acks;
    scene_open(&scene, *state, CALLERS);
    open_members(&scene);
    all(&scene, barriers_and_locks);
    assert_int_equal(atomic_load(&sections), CALLERS * LOCKS);
    uint64_t before = frames(&scene, &acks_before);
    all(&scene, barriers_alone);
    uint64_t after = frames(&scene, &acks);
    fprintf(stderr,
            "%d barriers of %d members: %.2f messages per barrier and remote host, %llu "
            "acknowledgements alone\n",
            ROUNDS, CALLERS, (double)(after - before) / ROUNDS / (HOSTS - 1),
            (unsigned long long)(acks - acks_before));
    assert_true(after - before <= 2ULL * ROUNDS * (HOSTS - 1));
    scene_close(&scene);
}

/* ---- what goes wrong ---- */

static int waits_for_the_dead(struct part *part)
{
    char want[32];
    int err = weft_group_barrier(part->group, SOON_MS + 2 * DEAD_MS);
    snprintf(want, sizeof(want), "member %u", 3u);
    if (err != WEFT_EPEERDEAD || strstr(weft_fail_text(err), want) == NULL)
        return weft_fail(WEFT_EINVAL, "barrier: %s: %s", weft_error_name(err), weft_fail_text(err));
    return WEFT_OK;
}

static void a_member_that_is_killed_leaves_its_lock_and_its_name(void **state)
{
    struct scene scene;
    char id[24];
    scene_open(&scene, *state, 4);
    scene.n = 3; /* the last one is another process */
    open_members(&scene);
    snprintf(id, sizeof(id), "%llx", (unsigned long long)scene.id);
    struct child *other = cluster_start(scene.cluster, "../tests/cluster_group_member",
                                        scene.cluster->hosts[0].address, id, "3", NULL);
    cluster_await_while(scene.cluster, CLUSTER_MS, child_said(other, "has the lock"),
                        !child_over(other));
    assert_int_equal(weft_group_trylock(scene.members[1]), WEFT_EBUSY);
    other->expect_signal = true;
    child_signal(other, SIGKILL);
    all(&scene, waits_for_the_dead);
    int err = weft_group_lock(scene.members[1], SOON_MS);
    if (err != WEFT_EOWNERDEAD)
        cluster_fail(scene.cluster, "lock of the dead: %s", weft_fail_text(err));
    assert_non_null(strstr(weft_fail_text(err), "member 3"));
    assert_int_equal(weft_group_unlock(scene.members[1]), WEFT_OK);
    assert_int_equal(weft_group_lock(scene.members[2], SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_unlock(scene.members[2]), WEFT_OK);
    scene_close(&scene);
}

static int waits_for_the_dead_host(struct part *part)
{
    void *data;
    size_t len;
    int err = weft_group_member(part->group) == 0
                  ? weft_group_barrier(part->group, SOON_MS + 3 * DEAD_MS)
                  : weft_group_recv(part->group, 2, SOON_MS + 3 * DEAD_MS, &data, &len);
    if (err != WEFT_EPEERDEAD || strstr(weft_fail_text(err), "host b") == NULL)
        return weft_fail(WEFT_EINVAL, "%s: %s", weft_error_name(err), weft_fail_text(err));
    return WEFT_OK;
}

static int waits_for_the_dead_home(struct part *part)
{
    int err = weft_group_lock(part->group, SOON_MS + 3 * DEAD_MS);
    if (err != WEFT_EPEERDEAD || strstr(weft_fail_text(err), "home") == NULL)
        return weft_fail(WEFT_EINVAL, "%s: %s", weft_error_name(err), weft_fail_text(err));
    return WEFT_OK;
}

static void a_host_that_is_killed_is_named_to_whoever_waits_for_its_members(void **state)
{
    struct scene scene;
    scene_open(&scene, *state, 3);
    open_members(&scene);
    cluster_host_kill(&scene.cluster->hosts[2]);
    struct weft_group *lost = scene.members[2];
    scene.n = 2;
    all(&scene, waits_for_the_dead_host);
    scene.n = 3;
    assert_ptr_equal(scene.members[2], lost);
    scene_close(&scene);
}

/* The home is host a; the head, which tells of deaths, lives. */
static void a_home_that_is_killed_ends_its_groups_on_all_hosts(void **state)
{
    struct scene scene;
    scene_open(&scene, *state, 3);
    scene.hosts[1] = scene.cluster->hosts[2].name;
    scene.at[1] = 2;
    struct weft_groups *first = scene.groups[0];
    scene.groups[0] = scene.groups[1]; /* made on a */
    scene.id = 0;                      /* another one */
    make(&scene);
    scene.groups[0] = first;
    open_members(&scene);
    assert_int_equal(weft_group_lock(scene.members[0], SOON_MS), WEFT_OK);
    cluster_host_kill(&scene.cluster->hosts[1]);
    struct weft_group *owner = scene.members[0];
    scene.members[0] = scene.members[2];
    scene.n = 2; /* both on b */
    all(&scene, waits_for_the_dead_home);
    scene.members[0] = owner;
    scene.n = 3;
    scene_close(&scene);
}

/* ---- who else is a member ---- */

static void ranks_are_members_on_the_hosts_where_they_run(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene = {.cluster = cluster, .n = HOSTS};
    cluster_three(cluster, 1);
    assert_int_equal(weft_groups_open(cluster->hosts[0].address, &scene.groups[0]), WEFT_OK);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "3",
                                         cluster_program("grouped"), "9007", NULL);
    for (uint32_t i = 0; i < HOSTS; i++)
        for (unsigned h = 0; h < HOSTS; h++)
            if (ask_rank_is(cluster, &app, i, cluster->hosts[h].name))
                scene.hosts[i] = cluster->hosts[h].name;
    scene.id = 0x9007;
    make(&scene);
    cluster_await_while(cluster, CLUSTER_MS, child_over(app.run), true);
    cluster_check(cluster, app.run->code == 0);
    for (uint32_t i = 0; i < HOSTS; i++) {
        char words[64];
        snprintf(words, sizeof(words), "rank %u met on %s", i, scene.hosts[i]);
        cluster_check(cluster, child_said(app.run, words));
    }
    weft_groups_close(scene.groups[0]);
}

static void two_programs_of_the_readme_meet(void **state)
{
    struct cluster *cluster = *state;
    const struct cluster_host *host = cluster_host(cluster, "home", 1);
    setenv("WEFT_HOST", host->address, 1);
    struct child *one = cluster_start(cluster, "../tests/meet", "abc", "1", NULL);
    struct child *zero = cluster_start(cluster, "../tests/meet", "abc", "0", NULL);
    unsetenv("WEFT_HOST");
    cluster_check(cluster, child_wait(zero, CLUSTER_MS) == 0);
    cluster_check(cluster, child_wait(one, CLUSTER_MS) == 0);
    cluster_check(cluster, child_said(zero, "member 0 has the lock"));
    cluster_check(cluster, child_said(one, "member 1 has the lock"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(sixty_four_callers_wait_for_each_other_with_one_worker_in_each_of_three_hosts),
        CASE(a_member_that_is_killed_leaves_its_lock_and_its_name),
        CASE(a_host_that_is_killed_is_named_to_whoever_waits_for_its_members),
        CASE(ranks_are_members_on_the_hosts_where_they_run),
        CASE(two_programs_of_the_readme_meet),
        CASE(a_home_that_is_killed_ends_its_groups_on_all_hosts),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
