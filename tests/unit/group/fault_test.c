/* Groups between real hosts whose frames are lost, doubled, late and overtaken, and whose members'
 * calls come twice and out of order: no message is lost or doubled, the lock has one owner, the
 * barriers stay apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"

enum { SEEDS = 12, ROUNDS = 10, MESSAGES = 40 };

static atomic_uint inside, arrived[ROUNDS];

static int round_of(struct rig *rig, struct weft_group *group, unsigned r)
{
    atomic_fetch_add(&arrived[r], 1);
    int err = weft_group_barrier(group, RIG_SOON_MS);
    if (err == WEFT_OK && atomic_load(&arrived[r]) < rig->n)
        err = weft_fail(WEFT_EINVAL, "barrier %u: only %u have come", r, atomic_load(&arrived[r]));
    if (err == WEFT_OK)
        err = weft_group_lock(group, RIG_SOON_MS);
    if (err != WEFT_OK)
        return err;
    bool alone = atomic_fetch_add(&inside, 1) == 0;
    atomic_fetch_sub(&inside, 1);
    err = r % 2 == 0 ? weft_group_unlock(group) : weft_group_unlock_async(group);
    return alone ? err : weft_fail(WEFT_EINVAL, "two members have the lock");
}

static int send_all(struct weft_group *group, uint32_t to)
{
    int err = WEFT_OK;
    for (unsigned i = 0; i < MESSAGES && err == WEFT_OK; i++)
        err = weft_group_send(group, to, &i, sizeof(i), RIG_SOON_MS);
    return err;
}

static int receive_all(struct weft_group *group, uint32_t from)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        void *data;
        size_t len;
        unsigned value;
        int err = weft_group_recv(group, from, RIG_SOON_MS, &data, &len);
        if (err != WEFT_OK)
            return err;
        memcpy(&value, data, sizeof(value));
        free(data);
        if (len != sizeof(value) || value != i)
            return weft_fail(WEFT_EINVAL, "message %u of member %u is number %u", i, from, value);
    }
    return WEFT_OK;
}

static int work(struct rig *rig, struct weft_group *group)
{
    uint32_t self = weft_group_member(group);
    int err = WEFT_OK;
    for (unsigned r = 0; r < ROUNDS && err == WEFT_OK; r++)
        err = round_of(rig, group, r);
    if (err == WEFT_OK)
        err = send_all(group, (self + 1) % rig->n);
    if (err == WEFT_OK)
        err = receive_all(group, (self + rig->n - 1) % rig->n);
    return err != WEFT_OK ? err : weft_group_notify(group, RIG_SOON_MS);
}

static void groups_work_over_a_network_that_loses_doubles_and_reorders(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        char hosts[128], members[128];
        snprintf(hosts, sizeof(hosts),
                 "fault(seed=%u,drop=5%%,dup=20%%,delay=2ms,late=30%%,reorder=20%%,way=out)+zmq",
                 seed);
        snprintf(members, sizeof(members), "fault(seed=%u,dup=20%%,delay=1ms,late=20%%)+zmq",
                 seed + 100);
        struct rig *rig = rig_open_over(hosts, members);
        for (unsigned r = 0; r < ROUNDS; r++)
            atomic_store(&arrived[r], 0);
        rig_group(rig, "abcab");
        rig_all(rig, work);
        rig_leave(rig);
        void *closed = rig;
        (void)rig_close(&closed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_work_over_a_network_that_loses_doubles_and_reorders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
