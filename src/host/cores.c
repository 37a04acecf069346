/* Usable cores: hwloc knows cores, binding and cpusets; the quota of the control group (cgroup v2
 * cpu.max) it does not know. */
#include "host/cores.h"

#include <stdio.h>

#include <hwloc.h>

static uint32_t bound_cores(void)
{
    hwloc_topology_t topology;
    uint32_t n = 0;
    if (hwloc_topology_init(&topology) != 0)
        return 1;
    hwloc_cpuset_t bound = hwloc_bitmap_alloc();
    if (bound != NULL && hwloc_topology_load(topology) == 0) {
        if (hwloc_get_cpubind(topology, bound, HWLOC_CPUBIND_PROCESS) != 0)
            hwloc_bitmap_copy(bound, hwloc_topology_get_allowed_cpuset(topology));
        hwloc_obj_t core = NULL;
        while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL)
            n += hwloc_bitmap_intersects(core->cpuset, bound) != 0;
        if (n == 0) /* a machine that tells no cores, only processing units */
            n = (uint32_t)hwloc_bitmap_weight(bound);
    }
    hwloc_bitmap_free(bound);
    hwloc_topology_destroy(topology);
    return n > 0 ? n : 1;
}

uint32_t weft__usable_cores(void)
{
    uint32_t cores = bound_cores();
    unsigned long quota, period;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file == NULL)
        return cores;
    if (fscanf(file, "%lu %lu", &quota, &period) == 2 && period > 0 && quota / period < cores)
        cores = quota / period > 0 ? (uint32_t)(quota / period) : 1;
    fclose(file);
    return cores;
}
