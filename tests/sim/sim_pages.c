/* The memory of ranks as pages with versions, copied in rounds while a rank runs and for the rest
 * when it stands: what src/exec does in precopy.c, move_source.c and move_dest.c.
 *
 * A version is never given twice. What each page of a rank is in truth is kept outside of all
 * copies, so that a page which is stale at the destination, missing, or there although it went away
 * shows up when the rank resumes. A range at a destination is never cleared behind anybody's back:
 * what an earlier move, or a fetch that failed, has left in it would show through.
 *
 * A rank writes all the time; the writes are drawn only when somebody looks at its pages, and
 * between the two looks of one round (at the tracker, and at the pages). Chance comes from a
 * sequence of its own: runs without copying are the same ones as if there were no pages. */
#include "sim.h"

#include <string.h>

#include "weft/error.h"

#define PAGE_BYTES 4096u
#define ROUND_PAGES 5 /* in a round, at most */
#define HOT_PAGES 3   /* are written more often */
#define GARBAGE 0xdeadu

static uint32_t below(struct sim *sim, uint32_t n)
{
    return (uint32_t)((sim_draw(&sim->pages_random) >> 32) * n >> 32);
}

static bool chance(struct sim *sim, uint32_t of_1000)
{
    return below(sim, 1000) < of_1000;
}

/* Also: how long it takes, which is long now and then. */
static uint64_t takes_ns(struct sim *sim)
{
    if (!sim_calm(sim) && chance(sim, 40))
        return (10 + below(sim, 140)) * MS;
    return (50 + below(sim, 2000)) * US;
}

static uint32_t count(uint32_t pages)
{
    return (uint32_t)__builtin_popcount(pages);
}

static uint32_t touched(const struct sim_copy *copy)
{
    uint32_t pages = 0;
    for (uint32_t page = 0; page < SIM_PAGES; page++)
        pages |= copy->version[page] != 0 ? 1u << page : 0;
    return pages;
}

void sim_pages_draw(struct sim *sim)
{
    sim->pages_random = ~sim->seed;
    sim->params.copy_passes = chance(sim, 500) ? 0 : 1 + below(sim, 4);
    if (sim->uncopied)
        sim->params.copy_passes = 0;
}

void sim_pages_init(struct sim *sim, uint32_t app, uint32_t rank, struct sim_copy *copy)
{
    for (uint32_t page = 0; page < SIM_PAGES; page++)
        copy->version[page] = chance(sim, 750) ? ++sim->apps[app].writes : 0;
    memcpy(sim->apps[app].version[rank], copy->version, sizeof(copy->version));
}

/* What the rank has written until now. */
static void write_pages(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_app *app = &sim->apps[p->app];
    struct sim_copying *copying = &p->copying[rank];
    for (uint32_t n = p->copy[rank].running ? below(sim, 5) : 0; n > 0; n--) {
        uint32_t page = below(sim, chance(sim, 600) ? HOT_PAGES : SIM_PAGES);
        uint32_t version = chance(sim, 200) ? 0 : ++app->writes;
        bool copied = copying->on && (copying->copied & 1u << page) != 0;
        sim->stats.seen[SIM_SAW_WRITTEN_AGAIN] += copied && version != 0;
        sim->stats.seen[SIM_SAW_PAGE_GONE] += copied && version == 0;
        p->copy[rank].version[page] = app->version[rank][page] = version;
        if (version != 0) /* that a page is gone no tracker tells */
            copying->written |= 1u << page;
    }
}

/* ---- SOURCE ---- */

/* Asks the tracker: what is written is not copied any more. */
static int forget_written(struct sim *sim, struct sim_copying *copying)
{
    if (!sim_calm(sim) && chance(sim, 20)) {
        sim_saw(sim, SIM_SAW_TRACKER_FAILED);
        return WEFT_EIO;
    }
    copying->copied &= ~copying->written;
    copying->written = 0;
    return WEFT_OK;
}

/* The pages of the next round, as far as a round goes. */
static uint32_t choose(struct sim_copying *copying, const struct sim_copy *copy, bool *last_out)
{
    uint32_t wanted = touched(copy) & ~copying->copied & ~copying->outside, chosen = 0;
    *last_out = true;
    for (uint32_t page = copying->at; page < SIM_PAGES; page++) {
        if ((wanted & 1u << page) == 0)
            continue;
        if (count(chosen) == ROUND_PAGES) {
            copying->at = page;
            *last_out = false;
            return chosen;
        }
        chosen |= 1u << page;
    }
    copying->at = 0;
    return chosen;
}

static int begin(struct sim *sim, struct sim_copying *copying)
{
    if (chance(sim, 50)) {
        sim_saw(sim, SIM_SAW_COPY_SMALL);
        return WEFT_ENOTSUP;
    }
    if (chance(sim, 50)) {
        sim_saw(sim, SIM_SAW_COPY_UNTRACKED);
        return WEFT_ENOTSUP;
    }
    copying->outside = chance(sim, 300) ? 1u << below(sim, SIM_PAGES) | 1u << HOT_PAGES : 0;
    return WEFT_OK;
}

/* Reads the pages of a round; the rank runs on. */
static int make_round(struct sim *sim, uint32_t number, uint32_t rank, struct sim_round *round)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_copying *copying = &p->copying[rank];
    bool late = sim->mutant == SIM_MUTANT_TRACKER_LATE;
    write_pages(sim, number, rank);
    int err = round->round == 1 ? begin(sim, copying) : WEFT_OK;
    if (err == WEFT_OK && !late)
        err = forget_written(sim, copying);
    round->pages = choose(copying, &p->copy[rank], &round->last);
    if (!late)
        write_pages(sim, number, rank);
    memcpy(round->version, p->copy[rank].version, sizeof(round->version));
    if (late) {
        write_pages(sim, number, rank);
        err = err == WEFT_OK ? forget_written(sim, copying) : err;
    }
    copying->copied |= round->pages;
    return err;
}

/* Whether a round can be made now, of a copying that is there or begins. */
static int enter(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_copying *copying = &p->copying[move->rank];
    if (!p->copy[move->rank].running)
        return WEFT_EBUSY;
    if (move->round > 1 && (!copying->on || copying->busy || copying->round + 1 != move->round))
        return WEFT_ENOENT;
    if (move->round == 1) {
        uint32_t kept = sim->mutant == SIM_MUTANT_COPY_NOT_ANEW ? copying->copied : 0;
        sim->stats.seen[copying->serial > 0 ? SIM_SAW_COPYING_ANEW : SIM_SAW_COPYING]++;
        *copying = (struct sim_copying){.on = true, .copied = kept};
    }
    copying->round = move->round;
    copying->busy = true;
    copying->made.round = 0;
    copying->serial = ++sim->rounds;
    p->copy[move->rank].running = sim->mutant != SIM_MUTANT_STOPS_TO_COPY;
    return WEFT_OK;
}

void sim_pages_copy(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    if (move->round == 1)
        sim_pages_end_copy(sim, number, move->rank);
    int err = enter(sim, number, move);
    uint64_t wait_ns = err == WEFT_OK ? takes_ns(sim) : US;
    struct sim_event *copied = sim_at(sim, sim->now_ns + wait_ns, SIM_COPIED, number);
    copied->rank = (uint8_t)move->rank;
    copied->round = (struct sim_round){.move_id = move->move_id, .round = move->round};
    if (err == WEFT_OK) {
        copied->epoch = sim->procs[number].copying[move->rank].serial;
        err = make_round(sim, number, move->rank, &copied->round);
    }
    copied->err = err;
}

void sim_pages_end_copy(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_copying *copying = &sim->procs[number].copying[rank];
    sim->stats.seen[SIM_SAW_COPY_ENDED] += copying->on && copying->busy;
    if (sim->mutant != SIM_MUTANT_COPY_LEFT_ON)
        copying->on = false;
}

/* A round is made. Its copying may be over by now, and the machine may wait for another one. */
void sim_on_copied(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    struct sim_copying *copying = &p->copying[event->rank];
    const struct weft_move_message *newest = &p->source[event->rank].copy;
    bool mine = copying->on && copying->serial == event->epoch;
    bool current = newest->move_id == event->round.move_id && newest->round == event->round.round;
    sim->stats.seen[SIM_SAW_COPY_STALE] += !current;
    if (sim->mutant == SIM_MUTANT_STOPS_TO_COPY)
        p->copy[event->rank].running = p->copy[event->rank].exists;
    if (!current && sim->mutant == SIM_MUTANT_COPIED_OF_OTHER && copying->on && copying->busy) {
        event->round.move_id = newest->move_id;
        event->round.round = newest->round;
        mine = current = true;
    }
    if (mine) {
        copying->on = event->err == WEFT_OK;
        copying->busy = false;
        copying->made = event->round;
    }
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_COPIED,
                                   .err = mine ? event->err : WEFT_ECANCELED,
                                   .bytes = count(event->round.pages) * PAGE_BYTES,
                                   .last = event->round.last};
    if (event->epoch == 0) /* it was not even begun */
        what.err = event->err;
    if (current)
        sim_step_source(sim, event->to, event->rank, &what);
}

void sim_pages_freeze(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_copying *copying = &p->copying[rank];
    struct sim_copy *copy = &p->copy[rank];
    uint32_t round = p->asked_round[rank];
    write_pages(sim, number, rank);
    bool known = copying->on && !copying->busy && round > 0 && copying->round == round;
    if (known && forget_written(sim, copying) != WEFT_OK)
        known = copying->on = false;
    copy->touched = touched(copy);
    copy->round = known ? round : 0;
    copy->rest = known ? copy->touched & ~copying->copied : copy->touched;
    sim->stats.seen[SIM_SAW_REST_FROZEN] += known;
    sim->stats.seen[SIM_SAW_ALL_FROZEN] += round > 0 && !known;
}

/* ---- DEST ---- */

void sim_pages_reserve(struct sim *sim, uint32_t number, uint32_t rank)
{
    if (sim->mutant != SIM_MUTANT_STALE_ROUND_KEPT)
        sim->procs[number].fetched[rank] = 0;
}

/* Pages come into a range; when they fail to, any of them may have come, or what is none. */
static void land(struct sim *sim, uint32_t *range, uint32_t pages, const uint32_t *version, int err)
{
    for (uint32_t page = 0; page < SIM_PAGES; page++) {
        if ((pages & 1u << page) == 0 || (err != WEFT_OK && chance(sim, 500)))
            continue;
        range[page] = err != WEFT_OK && chance(sim, 200) ? GARBAGE : version[page];
    }
}

static void make_holes(uint32_t *range, uint32_t but)
{
    for (uint32_t page = 0; page < SIM_PAGES; page++)
        range[page] = (but & 1u << page) != 0 ? range[page] : 0;
}

void sim_pages_fetch(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    struct sim_process *p = &sim->procs[number];
    uint32_t rank = move->rank;
    bool kept = sim->mutant == SIM_MUTANT_STALE_ROUND_KEPT && p->fetched[rank] >= move->round;
    bool next = move->round == 1 || p->fetched[rank] + 1 == move->round;
    if (move->round == 1 && !kept)
        make_holes(p->range[rank], 0);
    struct sim_event *end = sim_at(sim, sim->now_ns + takes_ns(sim), SIM_FETCH_END, number);
    end->rank = (uint8_t)rank;
    end->from = (uint32_t)move->source;
    end->epoch = kept;
    end->round = (struct sim_round){.move_id = move->move_id, .round = move->round};
    end->err = !next ? WEFT_EPROTO : !sim_calm(sim) && chance(sim, 40) ? WEFT_EIO : WEFT_OK;
    p->pulling[rank] = true;
    p->pull_cancelled[rank] = false;
}

void sim_on_fetch_end(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    const struct sim_process *source = &sim->procs[event->from];
    const struct sim_copying *copying = &source->copying[event->rank];
    const struct sim_round *round = &copying->made;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_FETCHED, .err = event->err};
    bool there = source->alive && copying->on && round->round == event->round.round &&
                 round->move_id == event->round.move_id;
    bool kept = event->epoch != 0;
    if (!there && !kept)
        what.err = WEFT_EPEERDEAD;
    else if (p->pull_cancelled[event->rank] && chance(sim, 700))
        what.err = WEFT_ECANCELED;
    sim->stats.seen[SIM_SAW_FETCHED] += what.err == WEFT_OK;
    sim->stats.seen[SIM_SAW_FETCH_CANCELLED] += what.err == WEFT_ECANCELED;
    sim->stats.seen[SIM_SAW_FETCH_FAILED] += what.err != WEFT_OK && what.err != WEFT_ECANCELED;
    if (!kept)
        land(sim, p->range[event->rank], round->pages, round->version, what.err);
    if (sim->mutant == SIM_MUTANT_ROUND_FORGOTTEN)
        what.err = WEFT_OK;
    if (!kept)
        p->fetched[event->rank] = what.err == WEFT_OK ? event->round.round : 0;
    p->pulling[event->rank] = false;
    sim_step_dest(sim, event->to, event->rank, &what);
}

int sim_pages_pull(struct sim *sim, uint32_t number, uint32_t rank, const struct sim_copy *from,
                   int err)
{
    uint32_t *range = sim->procs[number].range[rank], *fetched = &sim->procs[number].fetched[rank];
    bool kept = sim->mutant == SIM_MUTANT_STALE_ROUND_KEPT && *fetched > from->round;
    if (err == WEFT_OK && from->round > 0 && from->round != *fetched && !kept)
        err = WEFT_EPROTO;
    if (from->round == 0)
        make_holes(range, 0);
    else if (sim->mutant != SIM_MUTANT_HOLES_NOT_MADE)
        make_holes(range, from->touched);
    land(sim, range, from->rest, from->version, err);
    if (sim->mutant != SIM_MUTANT_STALE_ROUND_KEPT)
        *fetched = 0;
    return err;
}

void sim_pages_arrive(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_copy *copy = &p->copy[rank];
    const uint32_t *had = sim->apps[p->app].version[rank];
    sim->stats.seen[SIM_SAW_REST_ARRIVED] += copy->round > 0;
    memcpy(copy->version, p->range[rank], sizeof(copy->version));
    for (uint32_t page = 0; page < SIM_PAGES; page++) {
        if (copy->version[page] != had[page])
            sim_fail(sim, "rank %u finds page %u in version %u in process %u, it had version %u",
                     rank, page, copy->version[page], number, had[page]);
    }
}
