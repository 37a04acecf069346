/* Watching a cluster: what happens is told as events, in order and once; the picture of an app
 * shows its moves; counters add up. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { RANKS = 4 };

/* home, a and b with two slots each, and an app on home and a. */
struct scene {
    const char *at;
    struct stage stage;
    struct cluster_app app;
};

static void scene_open(struct cluster *cluster, struct scene *scene, const char *option)
{
    cluster_three(cluster, 2);
    scene->at = cluster->hosts[0].address;
    stage_open(&scene->stage, cluster);
    scene->app = cluster_run(cluster, &cluster->hosts[0], "-n", "4", option,
                             cluster_program("chain"), scene->stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &scene->stage, RANKS, 1);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, 3, "a"));
}

static void scene_end(struct cluster *cluster, struct scene *scene)
{
    stage_finish(cluster, &scene->stage, &scene->app);
    stage_all_free(cluster);
    stage_close(&scene->stage);
}

/* Lines of JSON that a command has printed, or that are in a file, as an array. */
static json_t *read_lines(struct cluster *cluster, const char *path)
{
    char *text = child_read(path), *rest = NULL;
    json_t *list = json_array();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *event = json_loads(line, 0, NULL);
        if (event == NULL)
            cluster_fail(cluster, "no JSON: %s", line);
        json_array_append_new(list, event);
    }
    free(text);
    return list;
}

/* A command that asks every host, until all have answered it: it names a host that did not in time,
 * and tells what the others know. */
static struct child *told_by_all(struct cluster *cluster, const char *const *args)
{
    struct child_patience patience = child_patience(CLUSTER_MS);
    for (;;) {
        struct child *child = cluster_start_list(cluster, "weft", args);
        if (child_wait(child, 2 * CLUSTER_MS) != 0)
            cluster_fail(cluster, "weft %s ended with %d", args[0], child->code);
        if (!child_complained(child, "weft: host "))
            return child;
        if (child_patience_over(&patience))
            cluster_fail(cluster, "weft %s: a host does not answer", args[0]);
    }
}

static json_t *events_of(struct cluster *cluster, const struct scene *scene)
{
    const char *const args[] = {"events", "--at",         scene->at, "--json",
                                "--app",  scene->app.hex, NULL};
    struct child *child = told_by_all(cluster, args);
    return read_lines(cluster, child->out);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* The first event of the kind from *at_io on, which moves behind it; NULL: there is none. */
static json_t *next_of(const json_t *events, const char *kind, size_t *at_io)
{
    while (*at_io < json_array_size(events)) {
        json_t *event = json_array_get(events, (*at_io)++);
        if (strcmp(text_of(event, "kind"), kind) == 0)
            return event;
    }
    return NULL;
}

static unsigned count_of(const json_t *events, const char *kind)
{
    unsigned n = 0;
    for (size_t at = 0; next_of(events, kind, &at) != NULL;)
        n++;
    return n;
}

static int64_t sum_of(const json_t *events, const char *kind, const char *field)
{
    int64_t sum = 0;
    const json_t *event;
    for (size_t at = 0; (event = next_of(events, kind, &at)) != NULL;)
        sum += number_of(event, field);
    return sum;
}

/* ---- events ---- */

static void check_shape(struct cluster *cluster, const struct scene *scene, const json_t *events)
{
    size_t i;
    json_t *event;
    int64_t before = 0;
    json_array_foreach(events, i, event)
    {
        cluster_check(cluster, number_of(event, "v") == 1);
        cluster_check(cluster, number_of(event, "time_ns") > 1000000000000000000);
        cluster_check(cluster, number_of(event, "mono_ns") >= before); /* one machine, one clock */
        before = number_of(event, "mono_ns");
        cluster_check(cluster, strcmp(text_of(event, "app"), scene->app.hex) == 0);
        cluster_check(cluster, *text_of(event, "host") != '\0' && *text_of(event, "kind") != '\0');
    }
}

/* The phases of the move of rank 3 from a to b, each told by who does it. */
static void check_phases(struct cluster *cluster, const json_t *events)
{
    static const struct {
        const char *kind, *host;
    } phases[] = {{"move_asked", "home"}, {"move_prepared", "b"},  {"move_frozen", "a"},
                  {"move_copied", "b"},   {"move_committed", "b"}, {"move_resumed", "b"},
                  {"move_flushed", "a"}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        const json_t *event = next_of(events, phases[i].kind, &at);
        if (event == NULL || strcmp(text_of(event, "host"), phases[i].host) != 0 ||
            number_of(event, "rank") != 3 || number_of(event, "move") != 1)
            cluster_fail(cluster, "%s is missing, out of order, or not told by %s", phases[i].kind,
                         phases[i].host);
    }
}

static void a_move_is_told_phase_by_phase_by_who_does_it(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene, "--migrate=0");
    stage_move(cluster, &scene.app, 3, "b");
    scene_end(cluster, &scene);
    json_t *events = events_of(cluster, &scene);
    size_t at = 0;
    check_shape(cluster, &scene, events);
    check_phases(cluster, events);
    const json_t *asked = next_of(events, "move_asked", &at);
    cluster_check(cluster, strcmp(text_of(asked, "from"), "a") == 0 &&
                               strcmp(text_of(asked, "to"), "b") == 0 &&
                               strcmp(text_of(asked, "cause"), "asked by hand") == 0);
    const json_t *done = next_of(events, "move_done", &at);
    cluster_check(cluster, done != NULL && number_of(done, "bytes") >= 1 << 20);
    cluster_check(cluster,
                  count_of(events, "app_started") == 1 && count_of(events, "app_ended") == 1);
    cluster_check(cluster, sum_of(events, "rank_placed", "ranks") == RANKS);
    cluster_check(cluster, sum_of(events, "lease_granted", "slots") == RANKS + 1);
    cluster_check(cluster, sum_of(events, "lease_released", "slots") == RANKS + 1);
    cluster_check(cluster, count_of(events, "move_aborted") == 0);
    json_decref(events);
    struct child *text = cluster_weft(cluster, "events", "--at", scene.at, NULL);
    cluster_check(cluster, text->code == 0 && child_said(text, "host_joined") &&
                               child_said(text, "move_frozen") && child_said(text, "pause="));
}

static void moves_that_are_given_up_are_told_with_the_reason(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene, "--migrate=0");
    struct child *full =
        cluster_weft(cluster, "migrate", "--at", scene.at, scene.app.hex, "0", "a", NULL);
    cluster_check(cluster, full->code == 1);
    json_t *events = events_of(cluster, &scene);
    size_t at = 0;
    const json_t *aborted = next_of(events, "move_aborted", &at);
    cluster_check(cluster, aborted != NULL && number_of(aborted, "rank") == 0);
    cluster_check(cluster, strcmp(text_of(aborted, "error"), "WEFT_ENOSLOTS") == 0 &&
                               strstr(text_of(aborted, "reason"), "no free slot") != NULL);
    at = 0;
    const json_t *refused = next_of(events, "lease_refused", &at);
    cluster_check(cluster, refused != NULL && strcmp(text_of(refused, "host"), "a") == 0);
    json_decref(events);
    scene_end(cluster, &scene);
}

static void events_are_followed_as_they_come_also_of_hosts_that_come_later(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    const char *args[] = {"events", "--at", cluster->hosts[0].address, "--follow", NULL};
    struct child *follow = cluster_start_list(cluster, "weft", args);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "peer=\"home\""));
    struct cluster_host *later = cluster_host(cluster, "later", 1);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "peer=\"later\""));
    struct child *run =
        cluster_weft(cluster, "run", "--at", later->address, cluster_program("hello"), NULL);
    cluster_check(cluster, run->code == 0);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "app_ended"));
    cluster_host_stop(cluster, later);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "host_left"));
    follow->expect_signal = true;
    child_signal(follow, SIGTERM);
    cluster_check(cluster, child_wait(follow, CLUSTER_MS) == 128 + SIGTERM);
    struct child *none =
        cluster_weft(cluster, "events", "--at", cluster->hosts[0].address, "--since", "0", NULL);
    cluster_check(cluster, none->code == 0 && !child_said(none, "host_joined"));
}

static void a_host_that_dies_is_told_by_the_head(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    struct cluster_host *doomed = cluster_host(cluster, "doomed", 1);
    const char *args[] = {"events", "--at", home->address, "--follow", NULL};
    struct child *follow = cluster_start_list(cluster, "weft", args);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "peer=\"doomed\""));
    cluster_check(cluster, !child_said(follow, "host_dead"));
    cluster_host_kill(doomed);
    cluster_await(cluster, CLUSTER_MS, child_said(follow, "host_dead"));
    follow->expect_signal = true;
    child_signal(follow, SIGTERM);
    cluster_check(cluster, child_wait(follow, CLUSTER_MS) == 128 + SIGTERM);
}

static void freezing_and_thawing_are_told(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    size_t at = 0;
    (void)setenv("WEFT_SNAPSHOT_DIR", cluster_file(cluster, "frozen"), 1);
    scene_open(cluster, &scene, "--migrate=0");
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    struct child *child = cluster_weft(cluster, "freeze", "--at", scene.at, scene.app.hex, NULL);
    cluster_check(cluster, child->code == 0);
    child = cluster_weft(cluster, "thaw", "--at", scene.at, scene.app.hex, NULL);
    cluster_check(cluster, child->code == 0);
    stage_runs(cluster, &scene.stage, RANKS, 5);
    scene_end(cluster, &scene);
    json_t *events = events_of(cluster, &scene);
    static const char *const kinds[] = {"app_started", "freeze_asked", "app_frozen",
                                        "app_thawed",  "rank_placed",  "app_ended"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (next_of(events, kinds[i], &at) == NULL)
            cluster_fail(cluster, "%s is missing, or out of order", kinds[i]);
    cluster_check(cluster, sum_of(events, "app_frozen", "bytes") > 0);
    cluster_check(cluster, sum_of(events, "rank_placed", "ranks") == 2 * RANKS);
    json_decref(events);
}

static void every_host_writes_its_events_to_its_file(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    char path[160], home_path[160];
    snprintf(path, sizeof(path), "%s/%%h.events", cluster->work);
    (void)setenv("WEFT_EVENTS", path, 1);
    scene_open(cluster, &scene, "--migrate=0");
    (void)unsetenv("WEFT_EVENTS");
    stage_move(cluster, &scene.app, 3, "b");
    scene_end(cluster, &scene);
    for (unsigned i = 3; i-- > 0;)
        cluster_host_stop(cluster, &cluster->hosts[i]);
    snprintf(home_path, sizeof(home_path), "%s/home.events", cluster->work);
    snprintf(path, sizeof(path), "%s/b.events", cluster->work);
    json_t *home = read_lines(cluster, home_path), *b = read_lines(cluster, path);
    cluster_check(cluster, count_of(home, "app_ended") == 1 && count_of(home, "move_done") == 1);
    cluster_check(cluster, count_of(b, "move_copied") == 1 && count_of(b, "move_asked") == 0);
    json_decref(home);
    json_decref(b);
}

/* ---- counters ---- */

static json_t *counters_of(struct cluster *cluster, const char *at)
{
    struct child *child = cluster_weft(cluster, "info", "--stats", "--at", at, "--json", "-", NULL);
    cluster_check(cluster, child->code == 0);
    char *text = child_read(child->out);
    json_t *all = json_loads(text, 0, NULL);
    json_t *counters = json_incref(json_object_get(all, "counters"));
    free(text);
    json_decref(all);
    return counters;
}

static void counters_add_up_after_a_known_run(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene, "--migrate=0");
    stage_move(cluster, &scene.app, 3, "b");
    cluster_check(cluster, ask_app(cluster, &scene.app, &now));
    uint64_t bytes = now.last.bytes;
    stage_move(cluster, &scene.app, 3, "a");
    cluster_check(cluster, ask_app(cluster, &scene.app, &now));
    bytes += now.last.bytes;
    (void)cluster_weft(cluster, "migrate", "--at", scene.at, scene.app.hex, "0", "a", NULL);
    scene_end(cluster, &scene);
    json_t *counters = counters_of(cluster, scene.at);
    cluster_check(cluster, number_of(counters, "moves.started") == 3);
    cluster_check(cluster, number_of(counters, "moves.done") == 2);
    cluster_check(cluster, number_of(counters, "moves.aborted") == 1);
    cluster_check(cluster, number_of(counters, "moves.aborted.WEFT_ENOSLOTS") == 1);
    cluster_check(cluster, (uint64_t)number_of(counters, "moves.bytes") == bytes);
    cluster_check(cluster, number_of(counters, "moves.pause_us.n") == 2 &&
                               number_of(counters, "moves.pause_us.max") > 0 &&
                               number_of(counters, "moves.pause_us.p50") <=
                                   number_of(counters, "moves.pause_us.p99"));
    cluster_check(cluster, (uint64_t)number_of(counters, "moves.forwarded") == now.forwarded);
    json_decref(counters);
    int64_t granted = 0, released = 0;
    for (unsigned i = 0; i < 3; i++) {
        counters = counters_of(cluster, cluster->hosts[i].address);
        granted += number_of(counters, "leases.granted");
        released += number_of(counters, "leases.released");
        cluster_check(cluster, (number_of(counters, "leases.refused") > 0) == (i == 1));
        cluster_check(cluster, number_of(counters, "events.skipped") == 0);
        json_decref(counters);
    }
    cluster_check(cluster, granted == RANKS + 2 && released == granted);
}

/* ---- apps ---- */

static void make_file(const char *path)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
}

static void apps_say_where_ranks_are_and_why_one_could_not_move(void **state)
{
    struct cluster *cluster = *state;
    const char *file = cluster_file(cluster, "go");
    cluster_three(cluster, 2);
    const char *at = cluster->hosts[0].address;
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], cluster_program("fork"), "pinned", file, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "open"), !child_over(app.run));
    struct child *moved = cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "a", NULL);
    cluster_check(cluster, moved->code == 1);
    struct child *brief = cluster_weft(cluster, "apps", "--at", at, NULL);
    cluster_check(cluster, brief->code == 0 && child_said(brief, "policy bin-pack") &&
                               child_said(brief, "home: 1 rank") &&
                               child_said(brief, "0 moves done, 1 given up") &&
                               !child_said(brief, "incarnation"));
    struct child *in_full = cluster_weft(cluster, "apps", "--at", at, "-l", NULL);
    cluster_check(cluster, child_said(in_full, "could not move: it has forked its memory"));
    make_file(file);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "closed"), !child_over(app.run));
    (void)unlink(file);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    stage_all_free(cluster);
}

/* ---- the picture ---- */

static json_t *timeline_of(struct cluster *cluster, const struct scene *scene)
{
    const char *path = cluster_file(cluster, "timeline");
    const char *const args[] = {"timeline", "--at", scene->at, "-o", path, scene->app.hex, NULL};
    (void)told_by_all(cluster, args);
    char *text = child_read(path);
    json_t *trace = json_loads(text, 0, NULL);
    free(text);
    cluster_check(cluster, trace != NULL);
    return trace;
}

/* A slice of this name on the host of this name (as its number in the picture); NULL: none. */
static const json_t *slice(const json_t *trace, const char *host, const char *name)
{
    const json_t *list = json_object_get(trace, "traceEvents");
    const json_t *event;
    size_t i;
    int64_t pid = 0;
    char wanted[32];
    snprintf(wanted, sizeof(wanted), "host %s", host);
    json_array_foreach(list, i, event)
    {
        const char *phase = text_of(event, "ph");
        if (*phase == 'M' && strcmp(text_of(json_object_get(event, "args"), "name"), wanted) == 0)
            pid = number_of(event, "pid");
        if (*phase == 'X' && number_of(event, "pid") == pid &&
            strcmp(text_of(event, "name"), name) == 0)
            return event;
    }
    return NULL;
}

static double begin_of(const json_t *slice_)
{
    return json_number_value(json_object_get(slice_, "ts"));
}

static double end_of(const json_t *slice_)
{
    return begin_of(slice_) + json_number_value(json_object_get(slice_, "dur"));
}

/* Of two slices of one row, one lies in the other or beside it. */
static void check_nesting(struct cluster *cluster, const json_t *trace)
{
    const json_t *list = json_object_get(trace, "traceEvents"), *a, *b;
    const double slack = 0.01; /* us: times are rounded */
    size_t i, k;
    json_array_foreach(list, i, a)
    {
        json_array_foreach(list, k, b)
        {
            if (k <= i || *text_of(a, "ph") != 'X' || *text_of(b, "ph") != 'X' ||
                number_of(a, "pid") != number_of(b, "pid") ||
                number_of(a, "tid") != number_of(b, "tid"))
                continue;
            bool beside = end_of(a) <= begin_of(b) + slack || end_of(b) <= begin_of(a) + slack;
            bool a_in_b = begin_of(a) >= begin_of(b) - slack && end_of(a) <= end_of(b) + slack;
            bool b_in_a = begin_of(b) >= begin_of(a) - slack && end_of(b) <= end_of(a) + slack;
            if (!beside && !a_in_b && !b_in_a)
                cluster_fail(cluster, "%s and %s overlap half", text_of(a, "name"),
                             text_of(b, "name"));
        }
    }
}

/* Each arrow has a beginning and an end that is not before it; returns how many there are. */
static unsigned check_arrows(struct cluster *cluster, const json_t *trace)
{
    const json_t *list = json_object_get(trace, "traceEvents");
    json_t *event, *begun = json_object();
    unsigned n = 0, ended = 0;
    size_t i;
    json_array_foreach(list, i, event) if (*text_of(event, "ph") == 's')
    {
        json_object_set(begun, text_of(event, "id"), event);
        n++;
    }
    json_array_foreach(list, i, event) if (*text_of(event, "ph") == 'f')
    {
        const json_t *from = json_object_get(begun, text_of(event, "id"));
        cluster_check(cluster, from != NULL && begin_of(from) <= begin_of(event));
        ended++;
    }
    json_decref(begun);
    cluster_check(cluster, n == ended);
    return n;
}

static void check_move_on(struct cluster *cluster, const json_t *trace)
{
    const json_t *prepare = slice(trace, "b", "prepare"), *copy = slice(trace, "b", "copy");
    const json_t *freeze = slice(trace, "a", "freeze"), *frozen = slice(trace, "a", "frozen");
    const json_t *commit = slice(trace, "b", "commit"), *resume = slice(trace, "b", "resume");
    const json_t *forwarding = slice(trace, "a", "forwarding");
    const json_t *move = slice(trace, "home", "move 1: rank 3");
    const json_t *before = slice(trace, "a", "rank 3"), *after = slice(trace, "b", "rank 3");
    cluster_check(cluster, prepare && copy && freeze && frozen && commit && resume && forwarding);
    cluster_check(cluster, move && before && after && slice(trace, "home", "rank 0"));
    const double slack = 0.01;
    const json_t *in_order[] = {prepare, freeze, copy, commit, resume};
    for (size_t i = 1; i < sizeof(in_order) / sizeof(in_order[0]); i++)
        cluster_check(cluster, begin_of(in_order[i]) + slack >= end_of(in_order[i - 1]));
    cluster_check(cluster, begin_of(move) <= begin_of(prepare) && end_of(move) >= end_of(resume));
    cluster_check(cluster, end_of(before) <= begin_of(frozen) + slack);
    cluster_check(cluster,
                  begin_of(frozen) <= begin_of(copy) && end_of(frozen) <= begin_of(after) + slack);
    cluster_check(cluster, begin_of(forwarding) >= end_of(commit) - slack);
}

static void the_picture_of_an_app_shows_its_move_and_the_messages_around_it(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene, "--trace");
    stage_move(cluster, &scene.app, 3, "b");
    stage_runs(cluster, &scene.stage, RANKS, 100);
    json_t *trace = timeline_of(cluster, &scene); /* of an app that runs */
    cluster_check(cluster, slice(trace, "home", "rank 0") != NULL);
    check_nesting(cluster, trace);
    json_decref(trace);
    scene_end(cluster, &scene);
    trace = timeline_of(cluster, &scene); /* and of one that has ended */
    check_move_on(cluster, trace);
    check_nesting(cluster, trace);
    cluster_check(cluster, check_arrows(cluster, trace) > 0);
    json_decref(trace);
}

static void without_trace_no_message_is_kept(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene, "--migrate=0");
    stage_move(cluster, &scene.app, 3, "b");
    scene_end(cluster, &scene);
    json_t *trace = timeline_of(cluster, &scene);
    check_move_on(cluster, trace);
    cluster_check(cluster, check_arrows(cluster, trace) == 0);
    json_decref(trace);
    struct child *none = cluster_weft(cluster, "timeline", "--at", scene.at, "123", NULL);
    cluster_check(cluster, none->code == 4 && child_complained(none, "123"));
}

/* With the number that the move's record has; nothing of it is told where it cannot be done. */
static void what_is_copied_before_the_rank_stops_is_told_and_in_the_picture(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    cluster_check(cluster, setenv("WEFT_PRECOPY_ABOVE", "4096", 1) == 0);
    scene_open(cluster, &scene, "--migrate=0");
    cluster_check(cluster, unsetenv("WEFT_PRECOPY_ABOVE") == 0);
    stage_move(cluster, &scene.app, 3, "b");
    scene_end(cluster, &scene);
    json_t *events = events_of(cluster, &scene), *trace = timeline_of(cluster, &scene);
    size_t at = 0;
    const json_t *event = next_of(events, "move_precopied", &at);
    const json_t *phase = slice(trace, "home", "pre-copy");
    cluster_check(cluster, (event == NULL) == (phase == NULL));
    if (event != NULL) {
        const json_t *move = slice(trace, "home", "move 1: rank 3");
        cluster_check(cluster, strcmp(text_of(event, "host"), "home") == 0 &&
                                   strcmp(text_of(event, "from"), "a") == 0 &&
                                   strcmp(text_of(event, "to"), "b") == 0);
        cluster_check(cluster, number_of(event, "rank") == 3 && number_of(event, "move") == 1);
        cluster_check(cluster, number_of(event, "bytes") > 0 && number_of(event, "passes") > 0);
        cluster_check(cluster, begin_of(move) <= begin_of(phase) && end_of(phase) <= end_of(move));
        check_nesting(cluster, trace);
        cluster_check(cluster, next_of(events, "move_frozen", &at) != NULL);
    }
    bool told = event != NULL;
    json_decref(events);
    json_decref(trace);
    if (!told) {
        print_message("writes of a rank cannot be tracked here: nothing is copied before\n");
        skip();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define CASE(test) cmocka_unit_test_setup_teardown(test, cluster_open, cluster_close)
        CASE(a_move_is_told_phase_by_phase_by_who_does_it),
        CASE(moves_that_are_given_up_are_told_with_the_reason),
        CASE(events_are_followed_as_they_come_also_of_hosts_that_come_later),
        CASE(a_host_that_dies_is_told_by_the_head),
        CASE(freezing_and_thawing_are_told),
        CASE(every_host_writes_its_events_to_its_file),
        CASE(counters_add_up_after_a_known_run),
        CASE(apps_say_where_ranks_are_and_why_one_could_not_move),
        CASE(the_picture_of_an_app_shows_its_move_and_the_messages_around_it),
        CASE(without_trace_no_message_is_kept),
        CASE(what_is_copied_before_the_rank_stops_is_told_and_in_the_picture),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
