/* The simulation of freezes and thaws: several homes, hosts with one process of the app each, a
 * registry and a store, all from a seed, with crashes, losses, delays and doubles at every step.
 *
 * The world is one app of some ranks, whose work is a counter per process: it grows while the
 * process's ranks run. What is checked at every step:
 *   - a rank runs in at most one process, and in none while the registry says that the app is
 * frozen;
 *   - while the registry says so, the store has all of the app, as it was when it stopped;
 *   - a process that loads gets the counter that was stopped: no work is lost, none is done twice;
 * and at the end of a run, when faults have ceased:
 *   - nothing is under way: the app runs whole, lies in the store whole, or has ended;
 *   - no process is left but those of an app that runs, and no file but those of one that is
 * frozen.
 *
 * A mutant breaks one rule on purpose; the simulation has to notice (--mutant NAME exits with 0
 * when it does). One file: the world has no part that another one could use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "freeze.h"
#include "freeze_world.h"
#include "weft/error.h"

static const struct weft_freeze_params params = {
    .round_first_ns = 3,
    .round_max_ns = 20,
    .retry_first_ns = 20,
    .retry_max_ns = 100,
    .stop_ns = 600,
    .save_ns = 800,
    .write_ns = 400,
    .resolve_ns = 800,
    .answer_ns = 600,
};

/* ---- dice ---- */

static uint64_t dice_state;

static uint64_t dice(uint64_t n)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % n;
}

/* ---- the world ---- */

static struct {
    uint64_t now;
    struct home homes[HOMES];
    struct process processes[PROCESSES_MAX];
    unsigned processes_n;
    struct message messages[MESSAGES_MAX];
    unsigned messages_n;
    struct weft_move_owner owner; /* in the registry */
    bool registry_up, disk_full, faults;
    struct file files[HOMES][HOSTS];
    struct file manifests[HOMES];
    uint64_t work[HOSTS]; /* what has been done for each share, by whoever ran it */
    bool ended;           /* the app has ended: a dead home, a lost rank */
    struct freeze_counts *counts;
    const char *broken;
} world;

static const char *mutant = "";
static bool talks;

static bool is_mutant(const char *name)
{
    return strcmp(mutant, name) == 0;
}

static void broken(const char *what)
{
    if (world.broken == NULL)
        world.broken = what;
}

static struct message *post(enum what what, uint64_t delay)
{
    static struct message none;
    if (world.messages_n == MESSAGES_MAX)
        return &none; /* lost, as if by the network */
    struct message *message = &world.messages[world.messages_n++];
    *message = (struct message){.at = world.now + 1 + delay, .what = what};
    return message;
}

static uint64_t delay(void)
{
    return world.faults && dice(20) == 0 ? dice(150) : dice(6);
}

static bool is_lost(void)
{
    return world.faults && dice(25) == 0;
}

/* ---- what is true at every step ---- */

static uint64_t self_of(const struct home *home)
{
    return (uint64_t)(home - world.homes) * 1000 + home->life + 1;
}

static void check(void)
{
    bool frozen = world.owner.host == WEFT_FREEZE_STORE;
    unsigned runs[HOSTS] = {0};
    for (unsigned i = 0; i < world.processes_n; i++) {
        const struct process *process = &world.processes[i];
        if (process->alive && process->running && ++runs[process->share] > 1)
            broken("a rank runs twice");
        if (process->alive && process->running && frozen)
            broken("a rank runs while the registry says that it is in the store");
    }
    if (!frozen || world.ended)
        return;
    unsigned whole = 0;
    for (unsigned h = 0; h < HOMES; h++) {
        bool all = world.manifests[h].there;
        for (unsigned s = 0; s < HOSTS; s++)
            all = all && world.files[h][s].there &&
                  world.files[h][s].number == world.manifests[h].number &&
                  world.files[h][s].counter == world.work[s];
        whole += all;
    }
    if (whole == 0)
        broken("the registry says that the app is in the store, which does not have all of it");
}

/* ---- the homes ---- */

static void feed(struct home *home, const struct weft_freeze_event *event);

static void kill_process(unsigned number)
{
    world.processes[number].alive = false;
    world.processes[number].running = false;
}

static unsigned party_of(const struct home *home, unsigned process)
{
    unsigned i = 0;
    while (i < home->machine.parties_n && home->numbers[i] != process)
        i++;
    return i;
}

static void end_app(struct home *home)
{
    home->ended = true;
    home->knows = false;
    for (unsigned i = 0; i < world.processes_n; i++)
        if (world.processes[i].alive && world.processes[i].home == (unsigned)(home - world.homes))
            kill_process(i);
}

static void erase(const struct home *home)
{
    unsigned h = (unsigned)(home - world.homes);
    world.manifests[h].there = false;
    for (unsigned s = 0; s < HOSTS; s++)
        world.files[h][s].there = false;
}

static unsigned add_process(struct home *home, unsigned share, bool empty)
{
    unsigned number = world.processes_n++;
    struct process *process = &world.processes[number];
    *process = (struct process){.alive = true,
                                .home = (unsigned)(home - world.homes),
                                .host = (unsigned)dice(HOSTS),
                                .share = share,
                                .running = !empty};
    weft__freeze_member_init(&process->member, empty);
    return number;
}

static void set_parties(struct home *home, unsigned n)
{
    memset(home->parties, 0, sizeof(home->parties));
    home->machine.parties = home->parties;
    home->machine.parties_n = n;
}

/* Starts one process for each share; some of them may not come up. */
static void place(struct home *home)
{
    unsigned n = 0;
    int err = WEFT_OK;
    bool room = world.processes_n + HOSTS < PROCESSES_MAX && dice(5) != 0;
    for (unsigned s = 0; s < HOSTS && room; s++) {
        if (world.faults && dice(25) == 0) {
            err = WEFT_EHOSTDEAD;
            break;
        }
        home->numbers[n++] = add_process(home, s, true);
    }
    set_parties(home, n);
    struct message *message = post(EVENT, delay());
    message->home = (unsigned)(home - world.homes);
    message->life = home->life;
    message->event = (struct weft_freeze_event){
        .kind = WEFT_FREEZE_ON_PLACED, .err = room ? err : WEFT_ENOSLOTS, .text = "no room"};
}

static void order(struct home *home, const struct weft_freeze_action *action)
{
    if (is_lost())
        return;
    unsigned copies = world.faults && dice(20) == 0 ? 2 : 1;
    for (unsigned i = 0; i < copies; i++) {
        struct message *message =
            post(action->order == WEFT_FREEZE_END ? END_PROCESS : MEMBER_ORDER, delay());
        message->home = (unsigned)(home - world.homes);
        message->life = home->life;
        message->process = home->numbers[action->party];
        message->member = (struct weft_freeze_member_event){.kind = WEFT_FREEZE_MEMBER_ON_ORDER,
                                                            .order = action->order,
                                                            .number = action->number,
                                                            .round = action->round,
                                                            .below = action->below};
    }
}

static void ask_registry(struct home *home, const struct weft_freeze_action *action)
{
    struct message *message =
        post(action->kind == WEFT_FREEZE_DO_CAS ? REGISTRY_CAS : REGISTRY_READ, delay());
    message->home = (unsigned)(home - world.homes);
    message->life = home->life;
    message->expect = action->expect;
    message->want = action->want;
}

static void later(struct home *home, enum weft_freeze_event_kind kind, int err)
{
    struct message *message = post(EVENT, delay());
    message->home = (unsigned)(home - world.homes);
    message->life = home->life;
    message->event = (struct weft_freeze_event){.kind = kind, .err = err, .text = "a fault"};
}

static void perform(struct home *home, const struct weft_freeze_action *action)
{
    unsigned h = (unsigned)(home - world.homes);
    switch (action->kind) {
    case WEFT_FREEZE_DO_ORDER:
        order(home, action);
        break;
    case WEFT_FREEZE_DO_WRITE:
        if (!world.disk_full)
            world.manifests[h] = (struct file){.there = true, .number = home->machine.number};
        later(home, WEFT_FREEZE_ON_WRITTEN, world.disk_full ? WEFT_ENOSPC : WEFT_OK);
        break;
    case WEFT_FREEZE_DO_CAS:
    case WEFT_FREEZE_DO_READ_OWNER:
        ask_registry(home, action);
        break;
    case WEFT_FREEZE_DO_PLACE:
        place(home);
        break;
    case WEFT_FREEZE_DO_CLEAR:
        later(home, WEFT_FREEZE_ON_CLEARED, world.registry_up ? WEFT_OK : WEFT_EREGISTRY);
        break;
    case WEFT_FREEZE_DO_ERASE: /* what was thawed may have been another home's */
        for (unsigned i = 0; i < HOMES; i++)
            if (i == h || home->machine.state == WEFT_FREEZE_IS_RUNNING)
                erase(&world.homes[i]);
        break;
    case WEFT_FREEZE_DO_STAYED:
        world.counts->stayed++;
        break;
    case WEFT_FREEZE_DO_FROZEN:
        world.counts->frozen++;
        break;
    case WEFT_FREEZE_DO_KEPT:
        world.counts->kept++;
        break;
    case WEFT_FREEZE_DO_THAWED:
        world.counts->thawed++;
        break;
    case WEFT_FREEZE_DO_LOST:
        world.counts->lost++;
        world.ended = true;
        end_app(home);
        erase(home);
        break;
    case WEFT_FREEZE_DO_TAKEN:
        world.counts->taken++;
        end_app(home);
        break;
    }
}

static void feed(struct home *home, const struct weft_freeze_event *event)
{
    struct weft_freeze_action actions[ACTIONS_MAX];
    if (!home->alive || !home->knows)
        return;
    enum weft_freeze_state before = home->machine.state;
    size_t n = weft__freeze_step(&home->machine, event, world.now, actions, ACTIONS_MAX);
    if (talks && (n > 0 || home->machine.state != before))
        printf("%llu: home %u, %s %d: %s -> %s, %zu actions\n", (unsigned long long)world.now,
               (unsigned)(home - world.homes), weft__freeze_event_name(event->kind), event->err,
               weft__freeze_state_name(before), weft__freeze_state_name(home->machine.state), n);
    for (size_t i = 0; i < n; i++)
        perform(home, &actions[i]);
    check();
}

/* ---- the processes ---- */

static void member_feed(unsigned number, const struct weft_freeze_member_event *event);

static void answer(unsigned number, const struct weft_freeze_member_action *action, bool waits)
{
    const struct process *process = &world.processes[number];
    if (is_lost())
        return;
    struct message *message = post(EVENT, delay());
    message->home = process->home;
    message->life = world.homes[process->home].life;
    message->process = number;
    message->event = (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_ANSWER,
                                                .order = waits ? WEFT_FREEZE_STOP : action->order,
                                                .number = process->member.number,
                                                .round = process->member.round,
                                                .waits = waits,
                                                .lowest = process->counter,
                                                .err = waits ? WEFT_OK : action->err,
                                                .text = "a fault"};
}

/* A rank stands after a while, or waits for another round. */
static void begin_stop(struct process *process)
{
    process->standing = 1 + (unsigned)dice(12);
    process->stop_wanted = true;
}

static void member_perform(unsigned number, const struct weft_freeze_member_action *action)
{
    struct process *process = &world.processes[number];
    switch (action->kind) {
    case WEFT_FREEZE_MEMBER_DO_ANSWER:
        answer(number, action, false);
        break;
    case WEFT_FREEZE_MEMBER_DO_REPORT:
        answer(number, action, true);
        break;
    case WEFT_FREEZE_MEMBER_DO_STOP:
        begin_stop(process);
        break;
    case WEFT_FREEZE_MEMBER_DO_RELEASE:
        if (!process->stop_wanted && process->counter > action->below) {
            process->standing = 1; /* it stands as it stood */
        } else if (!process->stop_wanted) {
            process->running = true;
            begin_stop(process);
        }
        process->stop_wanted = true;
        break;
    case WEFT_FREEZE_MEMBER_DO_WITHDRAW:
        process->standing = 1;
        break;
    case WEFT_FREEZE_MEMBER_DO_SAVE:
        process->save_wanted = true;
        break;
    case WEFT_FREEZE_MEMBER_DO_UNSAVE:
        break;
    case WEFT_FREEZE_MEMBER_DO_GO_ON:
    case WEFT_FREEZE_MEMBER_DO_RESUME:
        process->running = true;
        break;
    case WEFT_FREEZE_MEMBER_DO_LOAD:
        process->load_wanted = true;
        break;
    }
    if (is_mutant("go-on-alone") && action->kind == WEFT_FREEZE_MEMBER_DO_ANSWER &&
        action->order == WEFT_FREEZE_SAVE && dice(20) == 0)
        process->running = true;
}

static void member_feed(unsigned number, const struct weft_freeze_member_event *event)
{
    struct weft_freeze_member_action actions[WEFT_FREEZE_MEMBER_ACTIONS_MAX];
    if (!world.processes[number].alive)
        return;
    size_t n = weft__freeze_member_step(&world.processes[number].member, event, actions,
                                        WEFT_FREEZE_MEMBER_ACTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        member_perform(number, &actions[i]);
    check();
}

static void tell_member(unsigned number, enum weft_freeze_member_event_kind kind, int err)
{
    struct message *message = post(MEMBER_EVENT, dice(8));
    message->process = number;
    message->member =
        (struct weft_freeze_member_event){.kind = kind, .err = err, .text = "a fault"};
}

static void save(unsigned number)
{
    struct process *process = &world.processes[number];
    bool fails = world.disk_full || (world.faults && dice(20) == 0);
    process->save_wanted = false;
    if (!fails)
        world.files[process->home][process->share] = (struct file){
            .there = true, .number = process->member.number, .counter = process->counter};
    tell_member(number, WEFT_FREEZE_MEMBER_ON_SAVED, fails ? WEFT_ENOSPC : WEFT_OK);
}

/* From whichever home's manifest counts: they cannot both. */
static void load(unsigned number)
{
    struct process *process = &world.processes[number];
    bool fails = world.faults && dice(20) == 0;
    const struct file *from = NULL;
    for (unsigned h = 0; h < HOMES; h++) {
        const struct file *file = &world.files[h][process->share];
        if (world.manifests[h].there && file->there && file->number == world.manifests[h].number &&
            (from == NULL || file->counter > from->counter))
            from = file;
    }
    process->load_wanted = false;
    if (from == NULL)
        fails = true;
    else if (!fails)
        process->counter = from->counter;
    tell_member(number, WEFT_FREEZE_MEMBER_ON_LOADED, fails ? WEFT_EIO : WEFT_OK);
}

static void run_process(unsigned number)
{
    struct process *process = &world.processes[number];
    if (!process->alive)
        return;
    if (process->running && dice(3) == 0) {
        if (process->counter != world.work[process->share])
            broken("work is done twice, or was lost");
        world.work[process->share] = ++process->counter;
    }
    if (process->stop_wanted && process->standing > 0 && --process->standing == 0) {
        process->stop_wanted = false;
        process->running = false;
        bool pinned = world.faults && dice(30) == 0;
        if (pinned)
            process->running = true;
        member_feed(number,
                    &(struct weft_freeze_member_event){.kind = WEFT_FREEZE_MEMBER_ON_STOPPED,
                                                       .err = pinned ? WEFT_EPINNED : WEFT_OK,
                                                       .text = "it is pinned"});
    }
    if (process->save_wanted)
        save(number);
    if (process->load_wanted)
        load(number);
}

/* ---- faults ---- */

static void process_died(unsigned number)
{
    struct process *process = &world.processes[number];
    struct home *home = &world.homes[process->home];
    if (!process->alive)
        return;
    kill_process(number);
    if (!home->alive || !home->knows)
        return;
    unsigned party = party_of(home, number);
    if (weft__freeze_busy(&home->machine) && party < home->machine.parties_n) {
        feed(home, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_DEAD,
                                               .party = party,
                                               .err = WEFT_EHOSTDEAD,
                                               .text = "it died"});
        return;
    }
    if (home->machine.state == WEFT_FREEZE_IS_RUNNING) {
        world.ended = true;
        end_app(home);
    }
}

/* A home that dies ends what it runs; the next one takes over what the registry says is frozen. */
static void home_died(struct home *home)
{
    bool knew = home->knows;
    home->alive = false;
    home->knows = false;
    for (unsigned i = 0; i < world.processes_n; i++)
        if (world.processes[i].home == (unsigned)(home - world.homes))
            kill_process(i);
    if (knew && world.owner.host == self_of(home))
        world.ended = true;
}

static void home_returns(struct home *home)
{
    home->alive = true;
    home->life++;
    home->ended = false;
}

static void adopt(struct home *home)
{
    if (!home->alive || home->knows || world.ended || world.owner.host != WEFT_FREEZE_STORE)
        return;
    uint64_t number = 0;
    for (unsigned h = 0; h < HOMES; h++)
        if (world.manifests[h].there && world.manifests[h].number > number)
            number = world.manifests[h].number;
    home->knows = true;
    set_parties(home, 0);
    weft__freeze_init(&home->machine, &params, self_of(home), world.owner);
    home->machine.number = number;
    set_parties(home, 0);
}

static void fault(void)
{
    switch (dice(40)) {
    case 0:
        if (world.processes_n > 0)
            process_died((unsigned)dice(world.processes_n));
        break;
    case 1:
        if (dice(3) == 0)
            home_died(&world.homes[dice(HOMES)]);
        break;
    case 2:
        world.registry_up = !world.registry_up;
        break;
    case 3:
        world.disk_full = !world.disk_full;
        break;
    default:
        break;
    }
}

/* ---- time ---- */

static void registry(const struct message *message)
{
    if (!world.registry_up || is_lost())
        return;
    bool same = world.owner.host == message->expect.host &&
                world.owner.incarnation == message->expect.incarnation;
    if (message->what == REGISTRY_CAS && (same || is_mutant("blind-registry"))) {
        world.owner = message->want;
        check();
    }
    if (is_lost())
        return;
    struct message *reply = post(EVENT, delay());
    reply->home = message->home;
    reply->life = message->life;
    reply->event = (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_OWNER, .owner = world.owner};
}

/* A question that has no answer is told as one that failed, as a client does by its time-out. */
static void question_over(const struct message *message)
{
    struct message *reply = post(EVENT, 60 + dice(20));
    reply->home = message->home;
    reply->life = message->life;
    reply->event = (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_OWNER, .err = WEFT_EREGISTRY};
}

static void deliver(const struct message *message)
{
    struct home *home = &world.homes[message->home];
    bool current = home->alive && home->life == message->life;
    struct weft_freeze_event event = message->event;
    switch (message->what) {
    case EVENT:
        if (!current || !home->knows)
            return;
        if (event.kind == WEFT_FREEZE_ON_ANSWER)
            event.party = party_of(home, message->process);
        feed(home, &event);
        break;
    case MEMBER_ORDER:
    case MEMBER_EVENT:
        member_feed(message->process, &message->member);
        break;
    case REGISTRY_READ:
    case REGISTRY_CAS: {
        unsigned before = world.messages_n;
        registry(message);
        if (world.messages_n == before)
            question_over(message);
        break;
    }
    case END_PROCESS: {
        kill_process(message->process);
        struct message *reply = post(EVENT, delay());
        reply->home = message->home;
        reply->life = message->life;
        reply->process = message->process;
        reply->event = (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_ANSWER,
                                                  .order = WEFT_FREEZE_END,
                                                  .number = message->member.number};
        break;
    }
    }
}

static void deliver_due(void)
{
    for (unsigned i = 0; i < world.messages_n;) {
        if (world.messages[i].at > world.now) {
            i++;
            continue;
        }
        struct message message = world.messages[i];
        world.messages[i] = world.messages[--world.messages_n];
        deliver(&message);
    }
}

static void wish(void)
{
    struct home *home = &world.homes[dice(HOMES)];
    if (!home->alive)
        return;
    if (!home->knows) {
        if (dice(10) == 0)
            adopt(home);
        return;
    }
    switch (dice(8)) {
    case 0:
        if (home->machine.state == WEFT_FREEZE_IS_RUNNING) {
            unsigned n = 0;
            for (unsigned i = 0; i < world.processes_n; i++)
                if (world.processes[i].alive &&
                    world.processes[i].home == (unsigned)(home - world.homes))
                    home->numbers[n++] = i;
            set_parties(home, n);
            feed(home, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_FREEZE});
        }
        break;
    case 1:
        feed(home, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
        break;
    case 2:
        if (dice(6) == 0)
            feed(home, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_CANCEL,
                                                   .err = WEFT_ECANCELED,
                                                   .text = "no more"});
        break;
    default:
        break;
    }
}

static void tick(void)
{
    world.now++;
    deliver_due();
    for (unsigned i = 0; i < world.processes_n; i++)
        run_process(i);
    for (unsigned h = 0; h < HOMES; h++) {
        struct home *home = &world.homes[h];
        if (home->alive && home->knows && weft__freeze_deadline(&home->machine) <= world.now)
            feed(home, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
        if (!home->alive && dice(30) == 0)
            home_returns(home);
    }
    if (world.faults)
        fault();
    check();
}

/* ---- a run ---- */

static void begin_world(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    dice_state = seed * 0x9e3779b97f4a7c15u + 0x1234567;
    for (int i = 0; i < 8; i++)
        (void)dice(2);
    world.registry_up = true;
    for (unsigned h = 0; h < HOMES; h++)
        world.homes[h].alive = true;
    struct home *home = &world.homes[0];
    home->knows = true;
    world.owner = (struct weft_move_owner){self_of(home), 0};
    weft__freeze_init(&home->machine, &params, self_of(home), world.owner);
    for (unsigned s = 0; s < HOSTS; s++)
        (void)add_process(home, s, false);
}

static bool busy(void)
{
    for (unsigned h = 0; h < HOMES; h++)
        if (world.homes[h].alive && world.homes[h].knows &&
            weft__freeze_busy(&world.homes[h].machine))
            return true;
    return false;
}

/* Whether the home that the registry names lives, and knows the app. */
static bool is_at_home(void)
{
    for (unsigned h = 0; h < HOMES; h++)
        if (world.homes[h].alive && world.homes[h].knows &&
            self_of(&world.homes[h]) == world.owner.host)
            return true;
    return false;
}

/* Faults have ceased, nobody wishes anything: all has to come to an end. */
static void settle(void)
{
    world.faults = false;
    world.registry_up = true;
    world.disk_full = false;
    for (int i = 0; i < STEPS_MAX && (busy() || i < 400); i++)
        tick();
    if (busy())
        broken("a freeze or thaw does not end");
    if (world.ended || world.broken != NULL)
        return;
    unsigned alive = 0, running = 0;
    for (unsigned i = 0; i < world.processes_n; i++) {
        alive += world.processes[i].alive;
        running += world.processes[i].alive && world.processes[i].running;
    }
    bool frozen = world.owner.host == WEFT_FREEZE_STORE;
    if (!frozen && !is_at_home()) { /* a home that died while its word was on the way */
        if (alive > 0)
            broken("processes of a dead home live");
        return;
    }
    bool held = false; /* a thaw that was won and given up: it goes back with the next thaw */
    for (unsigned h = 0; h < HOMES; h++)
        held |= world.homes[h].alive && world.homes[h].knows &&
                world.homes[h].machine.state == WEFT_FREEZE_IS_FROZEN &&
                world.owner.host == self_of(&world.homes[h]);
    if (frozen || held ? running > 0 || alive > 0 : running != HOSTS || alive != HOSTS)
        broken("the app neither runs whole nor lies whole in the store");
}

const char *freeze_run(uint64_t seed, const struct freeze_how *how, struct freeze_counts *counts)
{
    mutant = how->mutant;
    talks = how->talks;
    begin_world(seed);
    world.counts = counts;
    world.faults = seed % 8 != 0;
    for (int i = 0; i < 1200 && world.broken == NULL && !world.ended; i++) {
        wish();
        tick();
    }
    if (world.broken == NULL)
        settle();
    return world.broken;
}
