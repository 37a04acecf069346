/* A short list, searched from its end: there are few placements, and one look-up per app that
 * starts. An item is one block: the record, its arrays, and the texts behind them. */
#include "plan/placements.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

struct weft_placements_item {
    struct weft_placement_kept kept;
    const char *key;
};

int weft__placements_init(struct weft_placements *table, size_t max, size_t ranks_max)
{
    if (max == 0 || ranks_max == 0)
        return weft_fail(WEFT_EINVAL, "a table of no placements, or of none with ranks");
    struct weft_placements_item **items = calloc(max, sizeof(*items));
    if (items == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a table of %zu placements", max);
    *table = (struct weft_placements){.items = items, .max = max, .ranks_max = ranks_max};
    return WEFT_OK;
}

void weft__placements_fini(struct weft_placements *table)
{
    for (size_t i = 0; i < table->n; i++)
        free(table->items[i]);
    free(table->items);
    memset(table, 0, sizeof(*table));
}

static char *put_text(char **at, const char *text)
{
    char *copy = *at;
    size_t len = strlen(text) + 1;
    memcpy(copy, text, len);
    *at += len;
    return copy;
}

static struct weft_placements_item *copy(const char *key, const struct weft_placement_kept *of)
{
    size_t texts = strlen(key) + 1;
    for (size_t i = 0; i < of->hosts_n; i++)
        texts += strlen(of->hosts[i]) + 1;
    struct weft_placements_item *item =
        malloc(sizeof(*item) + of->hosts_n * sizeof(char *) + of->ranks * sizeof(uint32_t) + texts);
    if (item == NULL)
        return NULL;
    const char **hosts = (const char **)(item + 1);
    uint32_t *host_of = (uint32_t *)(hosts + of->hosts_n);
    char *at = (char *)(host_of + of->ranks);
    if (of->ranks > 0)
        memcpy(host_of, of->host_of, of->ranks * sizeof(*host_of));
    item->key = put_text(&at, key);
    for (size_t i = 0; i < of->hosts_n; i++)
        hosts[i] = put_text(&at, of->hosts[i]);
    item->kept = (struct weft_placement_kept){
        .hosts = hosts, .hosts_n = of->hosts_n, .host_of = host_of, .ranks = of->ranks};
    return item;
}

/* Takes an item out of the list. */
static struct weft_placements_item *take(struct weft_placements *table, size_t i)
{
    struct weft_placements_item *item = table->items[i];
    table->n--;
    memmove(&table->items[i], &table->items[i + 1],
            (table->n - i) * sizeof(struct weft_placements_item *));
    table->ranks -= item->kept.ranks;
    return item;
}

static void append(struct weft_placements *table, struct weft_placements_item *item)
{
    table->items[table->n++] = item;
    table->ranks += item->kept.ranks;
}

/* table->n: none. */
static size_t find(const struct weft_placements *table, const char *key)
{
    for (size_t i = table->n; i-- > 0;)
        if (strcmp(table->items[i]->key, key) == 0)
            return i;
    return table->n;
}

static int check(const struct weft_placements *table, const struct weft_placement_kept *placement)
{
    if (placement->ranks > table->ranks_max)
        return weft_fail(WEFT_ERANGE, "a placement of %zu ranks; at most %zu are kept",
                         placement->ranks, table->ranks_max);
    for (size_t i = 0; i < placement->ranks; i++)
        if (placement->host_of[i] >= placement->hosts_n)
            return weft_fail(WEFT_EINVAL, "rank %zu is on host %u of %zu", i, placement->host_of[i],
                             placement->hosts_n);
    return WEFT_OK;
}

int weft__placements_keep(struct weft_placements *table, const char *key,
                          const struct weft_placement_kept *placement)
{
    int err = check(table, placement);
    struct weft_placements_item *item = err == WEFT_OK ? copy(key, placement) : NULL;
    if (err == WEFT_OK && item == NULL)
        err =
            weft_fail(WEFT_ENOMEM, "no memory to keep a placement of %zu ranks", placement->ranks);
    if (err != WEFT_OK)
        return err;
    size_t old = find(table, key);
    if (old < table->n)
        free(take(table, old));
    while (table->n == table->max || table->ranks + placement->ranks > table->ranks_max)
        free(take(table, 0));
    append(table, item);
    return WEFT_OK;
}

const struct weft_placement_kept *weft__placements_find(struct weft_placements *table,
                                                        const char *key)
{
    size_t i = find(table, key);
    if (i == table->n)
        return NULL;
    append(table, take(table, i));
    return &table->items[table->n - 1]->kept;
}
