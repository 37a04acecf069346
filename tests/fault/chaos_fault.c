/* The faults, and their ends.
 *
 * Each stop, cut and death is noted with its time, so that the end of an app can be blamed on it,
 * or on nothing. What comes soon after something else on the same host counts as one: two short
 * silences may add up for the one who waits. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "chaos.h"
#include "lab.h"
#include "stage.h"

enum { SOON_MS = 4000, COMMAND_MS = 150000, ALL = (1 << CHAOS_HOSTS) - 1, RESTARTS_MS = 1500 };

static const struct {
    const char *name;
    unsigned weight;
} kinds[CHAOS_KINDS] = {
    [CHAOS_KILL_HOST] = {"kill -9 of weftd", 4},
    [CHAOS_KILL_PROCESS] = {"kill -9 of an app process", 5},
    [CHAOS_STOP_HOST] = {"stop of weftd", 12},
    [CHAOS_STOP_PROCESS] = {"stop of an app process", 16},
    [CHAOS_CUT_ONE_WAY] = {"cut one way", 12},
    [CHAOS_CUT_BOTH_WAYS] = {"cut both ways", 8},
    [CHAOS_SLOW] = {"slow to 100 Mbit/s", 12},
    [CHAOS_DRAIN] = {"drain", 12},
    [CHAOS_MIGRATE] = {"forced move", 17},
};

const char *chaos_kind_name(enum chaos_kind kind)
{
    return kinds[kind].name;
}

static struct cluster_host *host_of(const struct chaos *chaos, unsigned host)
{
    return &chaos->cluster->hosts[host];
}

/* ---- what may be blamed ---- */

static unsigned harm_begin(struct chaos *chaos, unsigned hosts, bool deadly)
{
    uint64_t now = child_now_ms(), from = now;
    for (unsigned i = 0; i < chaos->harms_n; i++) {
        const struct chaos_harm *before = &chaos->harms[i];
        if ((before->hosts & hosts) != 0 && (before->open || before->to_ms + SOON_MS > now) &&
            before->from_ms < from)
            from = before->from_ms;
    }
    if (chaos->harms_n == CHAOS_HARMS)
        chaos_fail(chaos, "more than %d faults", CHAOS_HARMS);
    chaos->harms[chaos->harms_n] =
        (struct chaos_harm){.hosts = hosts, .from_ms = from, .open = true, .deadly = deadly};
    return chaos->harms_n++;
}

static void harm_end(struct chaos *chaos, unsigned harm)
{
    chaos->harms[harm].open = false;
    chaos->harms[harm].to_ms = child_now_ms();
}

bool chaos_blame(const struct chaos *chaos, unsigned hosts)
{
    uint64_t now = child_now_ms();
    for (unsigned i = 0; i < chaos->harms_n; i++) {
        const struct chaos_harm *harm = &chaos->harms[i];
        uint64_t to = harm->open ? now : harm->to_ms;
        if ((harm->hosts & hosts) != 0 && to + CHAOS_BLAME_MS > now &&
            (harm->deadly || to - harm->from_ms >= CHAOS_HARMLESS_MS))
            return true;
    }
    return false;
}

void chaos_stalled(struct chaos *chaos, uint64_t from_ms, uint64_t to_ms)
{
    chaos->count.stalls++;
    chaos_note(chaos, "this machine stood still for %llu ms",
               (unsigned long long)(to_ms - from_ms));
    unsigned harm = harm_begin(chaos, ALL, false);
    if (from_ms < chaos->harms[harm].from_ms)
        chaos->harms[harm].from_ms = from_ms;
    harm_end(chaos, harm);
}

bool chaos_blame_process(struct chaos *chaos, unsigned host)
{
    uint64_t now = child_now_ms();
    for (unsigned i = 0; i < chaos->process_kills_n[host]; i++) {
        uint64_t *at = &chaos->process_kills_ms[host][i];
        if (*at == 0 || *at + CHAOS_BLAME_MS < now)
            continue;
        *at = 0;
        return true;
    }
    return false;
}

/* ---- who can be struck ---- */

static bool is_active(const struct chaos *chaos, unsigned host, enum chaos_kind kind)
{
    for (unsigned i = 0; i < chaos->active_n; i++)
        if (chaos->active[i].host == host && chaos->active[i].kind == kind)
            return true;
    return false;
}

static bool is_up(const struct chaos *chaos, unsigned host)
{
    return chaos->restart_ms[host] == 0 && host_of(chaos, host)->ready_fd < 0 &&
           !child_over(host_of(chaos, host)->weftd);
}

bool chaos_host_well(const struct chaos *chaos, unsigned host)
{
    return is_up(chaos, host) && !chaos->draining[host] &&
           !is_active(chaos, host, CHAOS_STOP_HOST) && !is_active(chaos, host, CHAOS_CUT_ONE_WAY) &&
           !is_active(chaos, host, CHAOS_CUT_BOTH_WAYS);
}

static struct chaos_active *begin(struct chaos *chaos, enum chaos_kind kind, unsigned host,
                                  uint64_t for_ms)
{
    if (chaos->active_n == CHAOS_ACTIVE)
        chaos_fail(chaos, "more than %d faults at once", CHAOS_ACTIVE);
    struct chaos_active *fault = &chaos->active[chaos->active_n++];
    *fault = (struct chaos_active){
        .kind = kind, .host = host, .until_ms = child_now_ms() + for_ms, .number = chaos->faults_n};
    return fault;
}

/* ---- processes ---- */

/* A random process of an app on the host; 0: there is none. */
static uint64_t pick_process(struct chaos *chaos, unsigned host, uint64_t draw)
{
    uint64_t found[64], n = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL && n < 64) {
        uint64_t pid = strtoull(entry->d_name, NULL, 10);
        if (pid != 0 && stage_parent_of(pid) == (uint64_t)host_of(chaos, host)->weftd->pid &&
            cluster_is_marked(chaos->cluster, pid))
            found[n++] = pid;
    }
    if (proc != NULL)
        closedir(proc);
    return n > 0 ? found[draw % n] : 0;
}

static bool kill_process(struct chaos *chaos, unsigned host, uint64_t draw)
{
    uint64_t pid = pick_process(chaos, host, draw);
    if (pid == 0 || chaos->process_kills_n[host] == CHAOS_HARMS)
        return false;
    chaos_note(chaos, "kill -9 of process %llu on %s", (unsigned long long)pid,
               host_of(chaos, host)->name);
    chaos->process_kills_ms[host][chaos->process_kills_n[host]++] = child_now_ms();
    (void)kill((pid_t)pid, SIGKILL);
    return true;
}

static bool stop_process(struct chaos *chaos, unsigned host, uint64_t draw, uint64_t for_ms)
{
    uint64_t pid = pick_process(chaos, host, draw);
    for (unsigned i = 0; i < chaos->active_n; i++)
        if (chaos->active[i].kind == CHAOS_STOP_PROCESS && chaos->active[i].pid == pid)
            return false;
    if (pid == 0)
        return false;
    chaos_note(chaos, "stop of process %llu on %s for %llu ms", (unsigned long long)pid,
               host_of(chaos, host)->name, (unsigned long long)for_ms);
    begin(chaos, CHAOS_STOP_PROCESS, host, for_ms)->pid = pid;
    (void)kill((pid_t)pid, SIGSTOP);
    return true;
}

/* ---- hosts ---- */

static bool kill_host(struct chaos *chaos, unsigned host, uint64_t down_ms)
{
    if (!is_up(chaos, host))
        return false;
    chaos_note(chaos, "kill -9 of weftd %s, down for %llu ms", host_of(chaos, host)->name,
               (unsigned long long)down_ms);
    begin(chaos, CHAOS_KILL_HOST, host, UINT64_MAX / 2)->harm = harm_begin(chaos, 1u << host, true);
    cluster_host_kill(host_of(chaos, host));
    chaos->draining[host] = false;
    chaos->restart_ms[host] = child_now_ms() + down_ms;
    return true;
}

static bool stop_host(struct chaos *chaos, unsigned host, uint64_t for_ms)
{
    if (!is_up(chaos, host) || is_active(chaos, host, CHAOS_STOP_HOST))
        return false;
    chaos_note(chaos, "stop of weftd %s for %llu ms", host_of(chaos, host)->name,
               (unsigned long long)for_ms);
    begin(chaos, CHAOS_STOP_HOST, host, for_ms)->harm = harm_begin(chaos, 1u << host, false);
    child_signal(host_of(chaos, host)->weftd, SIGSTOP);
    return true;
}

static bool drain(struct chaos *chaos, unsigned host, uint64_t for_ms)
{
    const char *stay = host == 0 ? "--stay" : "--";
    unsigned other = host == 0 ? 1 : 0;
    if (!chaos_host_well(chaos, host) || !chaos_host_well(chaos, other) || chaos->draining[other])
        return false;
    chaos_note(chaos, "drain of %s for at most %llu ms", host_of(chaos, host)->name,
               (unsigned long long)for_ms);
    struct child *command =
        cluster_start(chaos->cluster, "weft", "drain", "--at", host_of(chaos, other)->address,
                      "--timeout", "30", stay, host_of(chaos, host)->name, NULL);
    begin(chaos, CHAOS_DRAIN, host, for_ms)->drain = command;
    chaos->draining[host] = true;
    chaos_command(chaos, command);
    return true;
}

/* ---- the network ---- */

static void nft(struct chaos *chaos, const struct chaos_active *fault, const char *hook,
                const struct cluster_host *peer)
{
    char command[512], match[64] = "";
    bool out = strcmp(hook, "output") == 0;
    if (peer != NULL)
        snprintf(match, sizeof(match), "ip %s %s", out ? "daddr" : "saddr", peer->address);
    else
        snprintf(match, sizeof(match), "%s eth0", out ? "oifname" : "iifname");
    snprintf(command, sizeof(command),
             "nft 'add table inet cut%u; add chain inet cut%u %s { type filter hook %s priority 0; "
             "}; add rule inet cut%u %s %s drop'",
             fault->number, fault->number, hook, hook, fault->number, hook, match);
    lab_in(chaos->cluster, host_of(chaos, fault->host), command);
}

/* A head that cannot be heard, or hears nobody, takes all others for dead. */
static bool cut(struct chaos *chaos, enum chaos_kind kind, unsigned host, uint64_t draw,
                uint64_t for_ms)
{
    unsigned peer = (host + 1 + (unsigned)(draw >> 1 & 1)) % CHAOS_HOSTS;
    bool from_all = (draw >> 2 & 1) != 0, out = (draw & 1) != 0;
    unsigned hosts = 1u << host | (from_all ? 0 : 1u << peer);
    if (is_active(chaos, host, CHAOS_CUT_ONE_WAY) || is_active(chaos, host, CHAOS_CUT_BOTH_WAYS) ||
        is_active(chaos, host, CHAOS_KILL_HOST))
        return false;
    const struct cluster_host *to = from_all ? NULL : host_of(chaos, peer);
    chaos_note(chaos, "%s at %s, %s %s, for %llu ms", kinds[kind].name, host_of(chaos, host)->name,
               kind == CHAOS_CUT_BOTH_WAYS ? "from and to"
               : out                       ? "to"
                                           : "from",
               from_all ? "all" : to->name, (unsigned long long)for_ms);
    struct chaos_active *fault = begin(chaos, kind, host, for_ms);
    fault->harm = harm_begin(chaos, from_all && host == 0 ? ALL : hosts, false);
    if (out || kind == CHAOS_CUT_BOTH_WAYS)
        nft(chaos, fault, "output", to);
    if (!out || kind == CHAOS_CUT_BOTH_WAYS)
        nft(chaos, fault, "input", to);
    return true;
}

static bool slow(struct chaos *chaos, unsigned host, uint64_t for_ms)
{
    if (is_active(chaos, host, CHAOS_SLOW))
        return false;
    chaos_note(chaos, "%s is slow for %llu ms", host_of(chaos, host)->name,
               (unsigned long long)for_ms);
    begin(chaos, CHAOS_SLOW, host, for_ms);
    lab_in(chaos->cluster, host_of(chaos, host),
           "tc qdisc add dev eth0 root tbf rate 100mbit burst 64kb latency 200ms");
    return true;
}

/* ---- one fault ---- */

/* A running app, the first one from a random place on; NULL: there is none. */
static const struct chaos_app *pick_app(struct chaos *chaos)
{
    uint64_t draw = chaos_dice(chaos, CHAOS_APPS);
    for (unsigned i = 0; i < CHAOS_APPS; i++) {
        const struct chaos_app *app = &chaos->apps[(draw + i) % CHAOS_APPS];
        if (app->run != NULL)
            return app;
    }
    return NULL;
}

void chaos_migrate(struct chaos *chaos)
{
    char rank[16];
    const struct chaos_app *app = pick_app(chaos);
    uint64_t which = chaos_dice(chaos, 64);
    const struct cluster_host *to = host_of(chaos, (unsigned)chaos_dice(chaos, CHAOS_HOSTS));
    if (app == NULL)
        return;
    char *id = child_read(app->id_file);
    id[strcspn(id, "\n")] = '\0';
    if (id[0] != '\0') {
        snprintf(rank, sizeof(rank), "%u", (unsigned)which % app->ranks);
        chaos->count.moves_asked++;
        chaos_note(chaos, "rank %s of app %u (%s) is to go to %s", rank, app->number, id, to->name);
        chaos_command(chaos, cluster_start(chaos->cluster, "weft", "migrate", "--at",
                                           app->home->address, id, rank, to->name, NULL));
    }
    free(id);
}

static enum chaos_kind pick_kind(struct chaos *chaos)
{
    unsigned all = 0, i = 0;
    for (unsigned k = 0; k < CHAOS_KINDS; k++)
        all += kinds[k].weight;
    uint64_t draw = chaos_dice(chaos, all);
    while (draw >= kinds[i].weight)
        draw -= kinds[i++].weight;
    return (enum chaos_kind)i;
}

static bool strike(struct chaos *chaos, enum chaos_kind kind, unsigned host)
{
    uint64_t draw = chaos_dice(chaos, 1 << 20), brief = chaos_dice(chaos, 2);
    uint64_t for_ms = 500 + chaos_dice(chaos, brief != 0 ? 600 : 5500);
    switch (kind) {
    case CHAOS_KILL_HOST:
        return kill_host(chaos, host, for_ms);
    case CHAOS_KILL_PROCESS:
        return kill_process(chaos, host, draw);
    case CHAOS_STOP_HOST:
        return stop_host(chaos, host, for_ms);
    case CHAOS_STOP_PROCESS:
        return stop_process(chaos, host, draw, for_ms);
    case CHAOS_CUT_ONE_WAY:
    case CHAOS_CUT_BOTH_WAYS:
        return cut(chaos, kind, host, draw, for_ms);
    case CHAOS_SLOW:
        return slow(chaos, host, for_ms);
    case CHAOS_DRAIN:
        return drain(chaos, host, 2000 + for_ms);
    default:
        chaos_migrate(chaos);
        return true;
    }
}

void chaos_strike(struct chaos *chaos)
{
    enum chaos_kind kind = pick_kind(chaos);
    unsigned host = (unsigned)chaos_dice(chaos, CHAOS_HOSTS);
    chaos->faults_n++;
    if (strike(chaos, kind, host))
        chaos->count.faults[kind]++;
}

/* ---- ends ---- */

static void end_drain(struct chaos *chaos, unsigned host)
{
    if (!chaos->draining[host] || child_over(host_of(chaos, host)->weftd))
        return; /* it has left: it is started again, or was killed meanwhile */
    chaos_note(chaos, "%s is to take work again", host_of(chaos, host)->name);
    chaos->cancels[host] =
        cluster_start(chaos->cluster, "weft", "drain", "--at", host_of(chaos, 0)->address,
                      "--cancel", host_of(chaos, host)->name, NULL);
    chaos_command(chaos, chaos->cancels[host]);
}

/* A cancellation that did not reach the host, or its head, is made again. */
static void look_at_cancel(struct chaos *chaos, unsigned host)
{
    if (!chaos->draining[host])
        chaos->cancels[host] = NULL;
    if (chaos->cancels[host] == NULL || !child_over(chaos->cancels[host]) || !is_up(chaos, 0))
        return;
    chaos->draining[host] = chaos->cancels[host]->code != 0;
    chaos->cancels[host] = NULL;
    if (chaos->draining[host])
        end_drain(chaos, host);
}

static void end(struct chaos *chaos, const struct chaos_active *fault)
{
    char command[64];
    struct cluster_host *host = host_of(chaos, fault->host);
    switch (fault->kind) {
    case CHAOS_STOP_HOST:
        child_signal(host->weftd, SIGCONT);
        harm_end(chaos, fault->harm);
        break;
    case CHAOS_STOP_PROCESS:
        if (cluster_is_marked(chaos->cluster, fault->pid))
            (void)kill((pid_t)fault->pid, SIGCONT);
        break;
    case CHAOS_CUT_ONE_WAY:
    case CHAOS_CUT_BOTH_WAYS:
        snprintf(command, sizeof(command), "nft delete table inet cut%u", fault->number);
        lab_in(chaos->cluster, host, command);
        harm_end(chaos, fault->harm);
        break;
    case CHAOS_SLOW:
        lab_in(chaos->cluster, host, "tc qdisc del dev eth0 root");
        break;
    case CHAOS_DRAIN:
        end_drain(chaos, fault->host);
        break;
    default:
        harm_end(chaos, fault->harm);
        break;
    }
    if (fault->kind != CHAOS_DRAIN)
        chaos_note(chaos, "%s at %s is over", kinds[fault->kind].name, host->name);
}

/* A drain is not cancelled before it has begun: its command may be slow. */
static bool is_due(const struct chaos *chaos, const struct chaos_active *fault, bool all)
{
    if (fault->kind == CHAOS_KILL_HOST)
        return is_up(chaos, fault->host);
    if (fault->kind == CHAOS_DRAIN && !child_over(fault->drain) &&
        !child_said(fault->drain, "slots in use"))
        return false;
    return all || fault->until_ms <= child_now_ms();
}

/* Down: killed, drained, or not let in by the registry when it was started. A host joins where the
 * head is there. */
static void restart(struct chaos *chaos, unsigned host, bool all)
{
    struct cluster_host *it = host_of(chaos, host);
    uint64_t now = child_now_ms();
    if (chaos->restart_ms[host] == 0 && child_over(it->weftd)) {
        if (!it->killed && it->weftd->code != 0 && it->ready_fd < 0)
            chaos_fail(chaos, "host %s has ended with %d", it->name, it->weftd->code);
        chaos_note(chaos, "%s has %s", it->name, it->ready_fd < 0 ? "left" : "not been let in");
        chaos->draining[host] = false;
        chaos->restart_ms[host] = now + RESTARTS_MS;
    }
    if (chaos->restart_ms[host] == 0 || (!all && now < chaos->restart_ms[host]))
        return;
    if (host != 0 && !chaos_host_well(chaos, 0) && !chaos->draining[0])
        return;
    chaos_note(chaos, "%s is started again", it->name);
    chaos->restart_ms[host] = 0;
    cluster_host_begin(chaos->cluster, it);
}

void chaos_mend(struct chaos *chaos, bool all)
{
    for (unsigned host = 0; host < CHAOS_HOSTS; host++) {
        restart(chaos, host, all);
        (void)cluster_host_serves(host_of(chaos, host));
        look_at_cancel(chaos, host);
    }
    for (unsigned i = 0; i < chaos->active_n;) {
        struct chaos_active fault = chaos->active[i];
        if (!is_due(chaos, &fault, all)) {
            i++;
            continue;
        }
        chaos->active[i] = chaos->active[--chaos->active_n];
        end(chaos, &fault);
    }
}

bool chaos_is_mended(struct chaos *chaos)
{
    chaos_mend(chaos, true);
    for (unsigned host = 0; host < CHAOS_HOSTS; host++)
        if (!is_up(chaos, host) || chaos->draining[host])
            return false;
    for (unsigned i = 0; i < CHAOS_COMMANDS; i++)
        if (chaos->commands[i].child != NULL)
            return false;
    return chaos->active_n == 0;
}

/* ---- commands ---- */

void chaos_command(struct chaos *chaos, struct child *child)
{
    for (unsigned i = 0; i < CHAOS_COMMANDS; i++) {
        if (chaos->commands[i].child != NULL)
            continue;
        chaos->commands[i] =
            (struct chaos_command){.child = child, .patience = child_patience(COMMAND_MS)};
        return;
    }
    chaos_fail(chaos, "more than %d commands at once", CHAOS_COMMANDS);
}

static void note_end(struct chaos *chaos, const struct child *child)
{
    char *out = child_read(child->code == 0 ? child->out : child->err);
    chaos_note(chaos, "%s: %d, %.*s", child->out, child->code, (int)strcspn(out, "\n"), out);
    free(out);
}

void chaos_commands(struct chaos *chaos)
{
    for (unsigned i = 0; i < CHAOS_COMMANDS; i++) {
        struct chaos_command *command = &chaos->commands[i];
        if (command->child == NULL)
            continue;
        if (!child_over(command->child)) {
            if (child_patience_over(&command->patience))
                chaos_fail(chaos, "the command with output %s hangs", command->child->out);
            continue;
        }
        if (command->child->code > 4)
            chaos_fail(chaos, "the command with output %s ends with %d", command->child->out,
                       command->child->code);
        note_end(chaos, command->child);
        command->child = NULL;
    }
}
