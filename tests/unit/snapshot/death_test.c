/* Hosts and clients that are killed in the middle of a push or a pull: the other side gets an
 * error, what was there before is there still, and nothing of the transfer is left, neither memory
 * nor descriptors nor registrations. The one to be killed is this program again.
 *
 * How far a transfer has come is read off the memory file into which it lands. One that was over
 * before the kill came proves nothing and is repeated. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "host_scene.h"
#include "link/data.h"
#include "snapshot/store.h"
#include "weft/error.h"

#define MEMORY ((uint64_t)512 << 20)
#define LARGE ((size_t)48 << 20)
#define SMALL 1000u
enum { TRIES = 20, PATIENCE_MS = 60000, LEASE_MS = 5000 };

/* ---- what a process holds ---- */

/* Descriptors of a process; bytes_out: in its memory files of this name. */
static unsigned descriptors(pid_t pid, const char *name, uint64_t *bytes_out)
{
    char path[64], target[256], wanted[64];
    unsigned n = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    (void)snprintf(wanted, sizeof(wanted), "/memfd:%s", name);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    *bytes_out = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat status;
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        if (len <= 0)
            continue;
        n++;
        target[len] = '\0';
        if (strncmp(target, wanted, strlen(wanted)) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &status, 0) == 0)
            *bytes_out += (uint64_t)status.st_blocks * 512;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

static uint64_t landed(pid_t pid, const char *name)
{
    uint64_t bytes;
    (void)descriptors(pid, name, &bytes);
    return bytes;
}

struct held {
    unsigned descriptors;
    uint64_t in_regions, resident;
    uint64_t registrations;
};

/* Memory that is really there; the sanitizers' is no measure: they keep what was freed, and look
 * for leaks themselves. */
static uint64_t resident(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#endif
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct held held_now(const struct weft_lane_stats *stats)
{
    struct held held = {.registrations = stats->regions, .resident = resident()};
    held.descriptors = descriptors(getpid(), "weft-", &held.in_regions);
    return held;
}

static bool is_more(const struct held *now, const struct held *before)
{
    return now->descriptors > before->descriptors || now->in_regions > before->in_regions ||
           now->registrations > before->registrations ||
           now->resident > before->resident + LARGE / 2;
}

/* A connection to one that died may go later than the call. */
static void assert_holds_no_more(struct held (*count)(void *arg), void *arg,
                                 const struct held *before)
{
    uint64_t until = weft__now_ns() + PATIENCE_MS * WEFT_NS_PER_MS;
    struct held now = count(arg);
    while (is_more(&now, before) && weft__now_ns() < until) {
        (void)usleep(10000);
        now = count(arg);
    }
    if (is_more(&now, before))
        fail_msg("descriptors %u -> %u, registrations %llu -> %llu, regions %llu -> %llu, "
                 "resident %llu -> %llu\n",
                 before->descriptors, now.descriptors, (unsigned long long)before->registrations,
                 (unsigned long long)now.registrations, (unsigned long long)before->in_regions,
                 (unsigned long long)now.in_regions, (unsigned long long)before->resident,
                 (unsigned long long)now.resident);
}

/* ---- the one to be killed ---- */

struct victim {
    pid_t pid;
    FILE *says;
    char url[64];
};

static void victim_start(struct victim *victim, const char *role, const char *url)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    char *argv[] = {(char *)"victim", (char *)(uintptr_t)host_scheme, (char *)(uintptr_t)role,
                    (char *)(uintptr_t)url, NULL};
    assert_int_equal(posix_spawn(&victim->pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    victim->says = fdopen(ends[0], "r");
    assert_non_null(victim->says);
    victim->url[0] = '\0';
}

static void victim_says_url(struct victim *victim)
{
    assert_int_equal(fscanf(victim->says, "%63s", victim->url), 1);
}

/* Returns its exit code; 128 and the signal where one ended it. */
static int victim_end(struct victim *victim, int signal)
{
    int status = 0;
    if (signal != 0)
        (void)kill(victim->pid, signal);
    assert_int_equal(waitpid(victim->pid, &status, 0), victim->pid);
    (void)fclose(victim->says);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool victim_lives(const struct victim *victim)
{
    siginfo_t info = {.si_pid = 0};
    assert_int_equal(waitid(P_PID, (id_t)victim->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == 0;
}

static _Noreturn void be_host(void)
{
    struct host host;
    host_open(&host, MEMORY, NULL);
    printf("%s\n", host.url);
    (void)fflush(stdout);
    for (;;)
        pause();
}

static int be_client(const char *role, const char *url)
{
    struct weft_snapshot_at where = {.url = url, .key = "k", .timeout_ms = PATIENCE_MS};
    struct weft_snapshot_copy copy;
    struct asker asker;
    int err;
    asker_open(&asker);
    if (strcmp(role, "push") == 0) {
        unsigned char *bytes = malloc(LARGE);
        memset(bytes, 'n', LARGE);
        err = weft__snapshot_push_bytes(asker.snapshots, &where, bytes, LARGE);
        free(bytes);
    } else {
        if (strcmp(role, "pull in haste") == 0)
            where.timeout_ms = LEASE_MS; /* for so long it may hold what it pulls */
        err = weft__snapshot_pull(asker.snapshots, &where, &copy);
        if (err == WEFT_OK)
            weft__region_fini(&copy.region);
    }
    asker_close(&asker);
    return err == WEFT_OK ? 0 : 1;
}

static int be_victim(char **argv)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(argv[2], "host") == 0)
        be_host();
    return be_client(argv[2], argv[3]);
}

/* ---- a client whose host dies ---- */

struct transfer {
    struct asker *asker;
    struct weft_snapshot_at where;
    bool pushes;
    const unsigned char *bytes;
    struct weft_snapshot_copy copy;
    int err;
    char text[300];
    _Atomic bool over;
    pthread_t thread;
};

static void *transfer_run(void *arg)
{
    struct transfer *t = arg;
    t->err = t->pushes ? weft__snapshot_push_bytes(t->asker->snapshots, &t->where, t->bytes, LARGE)
                       : weft__snapshot_pull(t->asker->snapshots, &t->where, &t->copy);
    (void)snprintf(t->text, sizeof(t->text), "%s", t->err != WEFT_OK ? weft_fail_text(t->err) : "");
    atomic_store(&t->over, true);
    return NULL;
}

/* Kills the host when half has come. Returns what the client was told. */
static int die_half_way(struct transfer *t, struct victim *host)
{
    uint64_t seen = 0;
    pid_t lander = t->pushes ? host->pid : getpid();
    const char *name = t->pushes ? "weft-snapshot" : "weft-pull";
    atomic_store(&t->over, false);
    assert_int_equal(pthread_create(&t->thread, NULL, transfer_run, t), 0);
    while (!atomic_load(&t->over) && seen < LARGE / 2)
        seen = landed(lander, name);
    (void)victim_end(host, SIGKILL);
    (void)pthread_join(t->thread, NULL);
    if (t->err != WEFT_OK && seen < LARGE / 2)
        fail_msg("%s", t->text);
    return t->err;
}

/* A host that has what is to be pulled. */
static void meet_host(struct transfer *t, struct victim *host)
{
    victim_start(host, "host", NULL);
    victim_says_url(host);
    t->where = (struct weft_snapshot_at){.url = host->url, .key = "k", .timeout_ms = PATIENCE_MS};
    if (!t->pushes)
        assert_int_equal(weft__snapshot_push_bytes(t->asker->snapshots, &t->where, t->bytes, LARGE),
                         WEFT_OK);
}

static struct held client_holds(void *arg)
{
    const struct asker *asker = arg;
    struct weft_lane_stats stats;
    weft__snapshots_lane_stats(asker->snapshots, &stats);
    return held_now(&stats);
}

static void check_hosts_that_die(bool pushes)
{
    struct asker asker;
    struct victim host;
    struct transfer t = {.asker = &asker, .pushes = pushes};
    unsigned char *bytes = malloc(LARGE);
    int err = WEFT_OK;
    assert_non_null(bytes);
    memset(bytes, 'b', LARGE);
    t.bytes = bytes;
    asker_open(&asker);
    meet_host(&t, &host); /* one that dies when all is done, for what that costs */
    (void)transfer_run(&t);
    assert_int_equal(t.err, WEFT_OK);
    if (!pushes)
        weft__region_fini(&t.copy.region);
    (void)victim_end(&host, SIGKILL);
    assert_int_not_equal(weft__snapshot_delete(asker.snapshots, &t.where, NULL), WEFT_OK);
    struct held before = client_holds(&asker);
    for (unsigned i = 0; i < TRIES && err == WEFT_OK; i++) {
        meet_host(&t, &host);
        err = die_half_way(&t, &host);
        if (err == WEFT_OK && !pushes)
            weft__region_fini(&t.copy.region);
    }
    assert_int_equal(weft_error_damage(err), WEFT_DAMAGE_PEER);
    assert_non_null(strstr(t.text, host.url));
    assert_holds_no_more(client_holds, &asker, &before);
    meet_host(&t, &host); /* and it goes on */
    (void)transfer_run(&t);
    assert_int_equal(t.err, WEFT_OK);
    if (!pushes)
        weft__region_fini(&t.copy.region);
    (void)victim_end(&host, SIGKILL);
    asker_close(&asker);
    free(bytes);
}

static void a_host_that_dies_half_way_through_a_push_is_an_error(void **state)
{
    (void)state;
    check_hosts_that_die(true);
}

static void a_host_that_dies_half_way_through_a_pull_is_an_error(void **state)
{
    (void)state;
    check_hosts_that_die(false);
}

/* ---- a host whose client dies ---- */

struct rig {
    struct host host;
    struct asker asker; /* of ours, which lives */
    struct weft_snapshot_at where;
};

static int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    host_open(&rig->host, MEMORY, NULL);
    asker_open(&rig->asker);
    rig->where =
        (struct weft_snapshot_at){.url = rig->host.url, .key = "k", .timeout_ms = PATIENCE_MS};
    *state = rig;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    asker_close(&rig->asker);
    host_close(&rig->host);
    free(rig);
    return 0;
}

static struct held host_holds(void *arg)
{
    const struct rig *rig = arg;
    struct weft_lane_stats stats = {.regions = 0};
    struct weft_lane *lane = weft__data_peek(rig->host.data);
    struct weft_snapshot_info *infos;
    size_t n;
    assert_int_equal(weft__snapshot_list(rig->asker.snapshots, &rig->where, &infos, &n),
                     WEFT_OK); /* leases that are over go */
    weft__snapshot_list_free(infos, n);
    if (lane != NULL)
        weft__lane_stats(lane, &stats);
    return held_now(&stats);
}

static void push(struct rig *rig, char byte, size_t len)
{
    unsigned char *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, byte, len);
    assert_int_equal(weft__snapshot_push_bytes(rig->asker.snapshots, &rig->where, bytes, len),
                     WEFT_OK);
    free(bytes);
}

/* A client that does all and ends, for what a client costs that has been here. */
static void be_visited(struct rig *rig, const char *role)
{
    struct victim client;
    victim_start(&client, role, rig->host.url);
    assert_int_equal(victim_end(&client, 0), 0);
}

/* Whether the key has what was there before. */
static bool is_old(struct rig *rig)
{
    struct weft_snapshot_info info;
    assert_int_equal(weft__snapshot_info(rig->asker.snapshots, &rig->where, &info), WEFT_OK);
    assert_true(info.size_bytes == SMALL || info.size_bytes == LARGE);
    return info.size_bytes == SMALL;
}

static void a_client_that_dies_half_way_through_its_push_leaves_the_old_snapshot(void **state)
{
    struct rig *rig = *state;
    struct victim client;
    bool old = false;
    be_visited(rig, "push");
    push(rig, 'o', SMALL);
    struct held before = host_holds(rig);
    for (unsigned i = 0; i < TRIES && !old; i++) {
        push(rig, 'o', SMALL);
        victim_start(&client, "push", rig->host.url);
        while (landed(getpid(), "weft-snapshot") < LARGE / 2 && victim_lives(&client))
            ;
        int code = victim_end(&client, SIGKILL);
        assert_true(code == 0 || code == 128 + SIGKILL); /* no error of its own */
        uint64_t until = weft__now_ns() + PATIENCE_MS * WEFT_NS_PER_MS;
        while (is_old(rig) && landed(getpid(), "weft-snapshot") > 0 && weft__now_ns() < until)
            (void)usleep(1000);
        old = is_old(rig);
    }
    assert_true(old);
    assert_holds_no_more(host_holds, rig, &before);
    be_visited(rig, "push");
    assert_false(is_old(rig));
}

static void a_client_that_dies_half_way_through_its_pull_holds_nothing_for_long(void **state)
{
    struct rig *rig = *state;
    struct victim client;
    int code = 0;
    push(rig, 'n', LARGE);
    be_visited(rig, "pull");
    push(rig, 'o', SMALL);
    struct held before = host_holds(rig);
    for (unsigned i = 0; i < TRIES && code != 128 + SIGKILL; i++) {
        push(rig, 'n', LARGE);
        victim_start(&client, "pull in haste", rig->host.url);
        while (landed(client.pid, "weft-pull") < LARGE / 2 && victim_lives(&client))
            ;
        code = victim_end(&client, SIGKILL);
    }
    assert_int_equal(code, 128 + SIGKILL);
    push(rig, 'o', SMALL);
    assert_holds_no_more(host_holds, rig, &before);
    push(rig, 'n', LARGE);
    be_visited(rig, "pull");
}

#define ON_A_RIG(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_dies_half_way_through_a_push_is_an_error),
        cmocka_unit_test(a_host_that_dies_half_way_through_a_pull_is_an_error),
        ON_A_RIG(a_client_that_dies_half_way_through_its_push_leaves_the_old_snapshot),
        ON_A_RIG(a_client_that_dies_half_way_through_its_pull_holds_nothing_for_long),
    };
    if (argc > 1)
        host_scheme = argv[1];
    if (argc > 2)
        return be_victim(argv);
    if (!host_scheme_is_here())
        return 77;
    return cmocka_run_group_tests_name(host_scheme, tests, NULL, NULL);
}
