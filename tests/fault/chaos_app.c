/* Apps of several programs, and what their ends have to be: well with the result of a run without
 * faults, or with a reason that names a host or a process that was struck, and that the app needed.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos.h"

enum {
    APP_MS = 120000,
    ROOM = 4, /* slots that ranks can move to */
    START_EVERY_MS = 200,
    REFUSED = 4, /* exit codes of weft */
    NETWORK = 3,
    FAILED = 1
};

#ifdef CHAOS_HEAT_CELL_PATH
static const bool cells = true;
#else /* they do not run here */
static const bool cells = false;
#define CHAOS_HEAT_CELL_PATH ""
#define CHAOS_PARTICLES_PATH ""
#endif

static const char *const names[CHAOS_WORKS] = {[CHAOS_HEAT] = "heat",
                                               [CHAOS_SWAP] = "swap",
                                               [CHAOS_STRAY] = "stray",
                                               [CHAOS_HEAT_CELL] = "heat in cells",
                                               [CHAOS_PARTICLES_CELL] = "particles in cells"};

const char *chaos_work_name(enum chaos_work work)
{
    return names[work];
}

/* ---- starts ---- */

struct plan {
    char program[512], ranks[8], migrate[24], args[6][24];
};

static uint64_t steps_of(struct chaos *chaos, uint64_t least, uint64_t most)
{
    return least + chaos_dice(chaos, most - least);
}

static void plan_heat(struct chaos *chaos, struct chaos_app *app, struct plan *plan)
{
    uint64_t steps = steps_of(chaos, 3000, 20000), seed = chaos_dice(chaos, 1000);
    bool cell = app->work == CHAOS_HEAT_CELL;
    snprintf(plan->program, sizeof(plan->program), "%s",
             cell ? CHAOS_HEAT_CELL_PATH : CHAOS_HEAT_PATH);
    snprintf(plan->args[0], sizeof(plan->args[0]), "--nx=120");
    snprintf(plan->args[1], sizeof(plan->args[1]), "--ny=20");
    snprintf(plan->args[2], sizeof(plan->args[2]), "--steps=%" PRIu64, steps);
    snprintf(plan->args[3], sizeof(plan->args[3]), "--seed=%" PRIu64, seed);
    char command[640];
    snprintf(command, sizeof(command), "%s 120 20 %" PRIu64 " %" PRIu64, CHAOS_HEAT_SERIAL, steps,
             seed);
    FILE *serial = popen(command, "r");
    char sum[17] = "";
    if (serial == NULL || fread(sum, 1, 16, serial) != 16)
        chaos_fail(chaos, "%s says nothing", command);
    (void)pclose(serial);
    snprintf(app->expected, sizeof(app->expected), "\"checksum\":\"%s\"", sum);
}

static void plan_other(struct chaos *chaos, struct chaos_app *app, struct plan *plan)
{
    bool swap = app->work == CHAOS_SWAP;
    uint64_t steps = steps_of(chaos, 800, 4000), seed = chaos_dice(chaos, 1u << 30);
    uint64_t nap_us = chaos_dice(chaos, 1500);
    snprintf(plan->program, sizeof(plan->program), "%s", cluster_program(names[app->work]));
    snprintf(plan->args[0], sizeof(plan->args[0]), "%" PRIu64, steps);
    snprintf(plan->args[1], sizeof(plan->args[1]), "%" PRIu64, seed);
    snprintf(plan->args[2], sizeof(plan->args[2]), "%" PRIu64, nap_us);
    (swap ? chaos_expected_swap : chaos_expected_stray)(seed, steps, (int)app->ranks,
                                                        app->expected);
}

static void plan_particles(const struct chaos *chaos, struct chaos_app *app, struct plan *plan)
{
    snprintf(plan->program, sizeof(plan->program), "%s", CHAOS_PARTICLES_PATH);
    snprintf(plan->args[0], sizeof(plan->args[0]), "%" PRIu64, chaos->particle_steps);
    snprintf(app->expected, sizeof(app->expected), "%s", chaos->particles_say[app->ranks]);
}

static void launch(struct chaos *chaos, struct chaos_app *app, const struct plan *plan)
{
    const char *args[20] = {"run",    "--at",    app->home->address, "-n",         plan->ranks,
                            "--json", app->json, "--id-file",        app->id_file, plan->migrate};
    size_t n = 10;
    args[n++] = plan->program;
    for (size_t i = 0; i < 6 && plan->args[i][0] != '\0'; i++)
        args[n++] = plan->args[i];
    app->run = cluster_start_list(chaos->cluster, "weft", args);
    app->began_ms = child_now_ms();
    app->patience = child_patience(APP_MS);
    chaos->count.started++;
    chaos->count.by_work[app->work]++;
    chaos_note(chaos, "app %u: %s, %u ranks, at %s, output in %s", app->number, names[app->work],
               app->ranks, app->home->name, app->run->out);
}

static void start(struct chaos *chaos, struct chaos_app *app)
{
    struct plan plan = {0};
    unsigned home = (unsigned)chaos_dice(chaos, CHAOS_HOSTS);
    *app = (struct chaos_app){
        .work = (enum chaos_work)chaos_dice(chaos, cells ? CHAOS_WORKS : CHAOS_HEAT_CELL),
        .number = ++chaos->apps_n};
    app->ranks =
        CHAOS_RANKS_MIN + (unsigned)chaos_dice(chaos, CHAOS_RANKS_MAX - CHAOS_RANKS_MIN + 1);
    uint64_t detects = chaos_dice(chaos, 2);
    app->home = &chaos->cluster->hosts[home];
    if (app->work == CHAOS_HEAT || app->work == CHAOS_HEAT_CELL)
        plan_heat(chaos, app, &plan);
    else if (app->work == CHAOS_PARTICLES_CELL)
        plan_particles(chaos, app, &plan);
    else
        plan_other(chaos, app, &plan);
    if (!chaos_host_well(chaos, home))
        return;
    snprintf(plan.ranks, sizeof(plan.ranks), "%u", app->ranks);
    snprintf(plan.migrate, sizeof(plan.migrate), "--migrate=%s", detects != 0 ? "0.5" : "0");
    snprintf(app->json, sizeof(app->json), "%s", cluster_file(chaos->cluster, "json"));
    snprintf(app->id_file, sizeof(app->id_file), "%s", cluster_file(chaos->cluster, "id"));
    launch(chaos, app, &plan);
}

/* Particles fly the same way wherever their ranks are. */
void chaos_apps_measure(struct chaos *chaos)
{
    enum { STEPS_MIN = 300, STEPS_MAX = 1500 };
    chaos->particle_steps = steps_of(chaos, STEPS_MIN, STEPS_MAX);
    for (unsigned n = CHAOS_RANKS_MIN; cells && n <= CHAOS_RANKS_MAX; n++) {
        char ranks[8], steps[24];
        snprintf(ranks, sizeof(ranks), "%u", n);
        snprintf(steps, sizeof(steps), "%" PRIu64, chaos->particle_steps);
        struct child *run =
            cluster_weft(chaos->cluster, "run", "--at", chaos->cluster->hosts[0].address, "-n",
                         ranks, CHAOS_PARTICLES_PATH, steps, NULL);
        char *text = child_read(run->out);
        if (run->code != 0 || strstr(text, "hash") == NULL || strlen(text) >= CHAOS_TEXT)
            chaos_fail(chaos, "particles on %u ranks: code %d, %s", n, run->code, text);
        snprintf(chaos->particles_say[n], CHAOS_TEXT, "%s", text);
        free(text);
    }
}

static unsigned ranks_now(const struct chaos *chaos)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CHAOS_APPS; i++)
        n += chaos->apps[i].run != NULL ? chaos->apps[i].ranks : 0;
    return n;
}

void chaos_apps_start(struct chaos *chaos)
{
    if (child_now_ms() < chaos->start_ms)
        return;
    for (unsigned i = 0; i < CHAOS_APPS; i++)
        if (chaos->apps[i].run == NULL &&
            ranks_now(chaos) + CHAOS_RANKS_MAX <= CHAOS_HOSTS * CHAOS_SLOTS - ROOM) {
            start(chaos, &chaos->apps[i]);
            chaos->start_ms = child_now_ms() + START_EVERY_MS;
            return;
        }
}

/* ---- ends ---- */

/* The hosts that a text names, by name or by address, as bits. */
static unsigned named(const struct chaos *chaos, const char *text)
{
    unsigned hosts = 0;
    for (unsigned i = 0; i < CHAOS_HOSTS; i++) {
        const struct cluster_host *host = &chaos->cluster->hosts[i];
        char at[64];
        size_t len = strlen(host->name);
        snprintf(at, sizeof(at), "%s:", host->address);
        if (strstr(text, at) != NULL)
            hosts |= 1u << i;
        for (const char *found = text; (found = strstr(found, host->name)) != NULL; found += len)
            if (found > text && found[-1] == ' ' && strchr(" ,:;.\n", found[len]) != NULL)
                hosts |= 1u << i;
    }
    return hosts;
}

/* The hosts that the app had anything to do with at its end. */
static unsigned needed(const struct chaos *chaos, const struct chaos_app *app, const json_t *report)
{
    unsigned hosts = 1u << (app->home - chaos->cluster->hosts);
    const json_t *item;
    size_t i;
    char text[128];
    json_array_foreach(json_object_get(report, "processes"), i, item)
    {
        snprintf(text, sizeof(text), " %s ", json_string_value(json_object_get(item, "host")));
        hosts |= named(chaos, text);
    }
    return hosts;
}

static void count_moves(struct chaos *chaos, const struct chaos_app *app, const json_t *report)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(report, "moves"), i, item)
    {
        const char *outcome = json_string_value(json_object_get(item, "outcome"));
        const char *reason = json_string_value(json_object_get(item, "reason"));
        bool moved = strcmp(outcome, "moved") == 0;
        *(moved ? &chaos->count.moved : &chaos->count.aborted) += 1;
        if (!moved)
            chaos_tally(chaos->count.reasons, reason);
        chaos_note(chaos, "app %u: rank %lld %s -> %s %s at %.0f ms, done at %.0f: %s", app->number,
                   json_integer_value(json_object_get(item, "rank")),
                   json_string_value(json_object_get(item, "from")),
                   json_string_value(json_object_get(item, "to")), outcome,
                   json_number_value(json_object_get(item, "committed_ms")),
                   json_number_value(json_object_get(item, "done_ms")), reason);
    }
}

/* A reason without what is different each time. */
static void shorten(char *text)
{
    char *to = text, last = '\0';
    for (const char *from = text; *from != '\0' && *from != '\n'; from++) {
        char c = *from >= '0' && *from <= '9' ? 'N' : *from;
        if (c != 'N' || last != 'N')
            *to++ = c;
        last = c;
    }
    *to = '\0';
}

static void judge_failure(struct chaos *chaos, const struct chaos_app *app, const json_t *report,
                          const char *text)
{
    int code = app->run->code;
    unsigned hosts = named(chaos, text), host = 0;
    while (host < CHAOS_HOSTS && hosts != 1u << host)
        host++;
    bool killed = strstr(text, "was ended by signal 9") != NULL;
    if (code == FAILED && killed && host < CHAOS_HOSTS && chaos_blame_process(chaos, host))
        return;
    if (code != NETWORK || hosts == 0)
        chaos_fail(chaos, "app %u ends with code %d: %s", app->number, code, text);
    if (report != NULL && (hosts & needed(chaos, app, report)) == 0)
        chaos_fail(chaos, "app %u ends because of a host that it does not need: %s", app->number,
                   text);
    if (!chaos_blame(chaos, hosts))
        chaos_fail(chaos, "app %u ends because of a host that was not struck: %s", app->number,
                   text);
}

static void judge_result(struct chaos *chaos, const struct chaos_app *app)
{
    if (!child_said(app->run, app->expected))
        chaos_fail(chaos, "app %u ends well, but does not say \"%s\"", app->number, app->expected);
    chaos->count.identical++;
    chaos->count.well_by_work[app->work]++;
    chaos_note(chaos, "app %u has ended well", app->number);
}

/* It never became an app. */
static bool was_refused(const struct chaos_app *app)
{
    char *id = child_read(app->id_file);
    bool none = id[0] == '\0';
    free(id);
    return none && (app->run->code == REFUSED || app->run->code == NETWORK);
}

static void judge(struct chaos *chaos, struct chaos_app *app)
{
    json_t *report = json_load_file(app->json, 0, NULL);
    char *text = child_read(app->run->err), line[96];
    const char *reason = strstr(text, "weft run: the app");
    reason = reason != NULL ? reason : text;
    count_moves(chaos, app, report);
    if (app->run->code == 0) {
        judge_result(chaos, app);
    } else {
        chaos_note(chaos, "app %u ends with code %d: %.*s", app->number, app->run->code,
                   (int)strcspn(reason, "\n"), reason);
        if (was_refused(app) && (app->run->code == REFUSED || chaos_blame(chaos, ~0u)))
            chaos->count.refused++;
        else
            judge_failure(chaos, app, report, reason);
        snprintf(line, sizeof(line), "%d: %.80s", app->run->code, reason);
        shorten(line);
        chaos_tally(chaos->count.ends, line);
    }
    free(text);
    json_decref(report);
    app->run = NULL;
}

unsigned chaos_apps_look(struct chaos *chaos)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CHAOS_APPS; i++) {
        struct chaos_app *app = &chaos->apps[i];
        if (app->run == NULL)
            continue;
        if (child_over(app->run))
            judge(chaos, app);
        else if (child_patience_over(&app->patience))
            chaos_fail(chaos, "app %u has not ended within %d s", app->number, APP_MS / 1000);
        else
            n++;
    }
    return n;
}
