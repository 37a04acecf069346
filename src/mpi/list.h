/* A doubly linked list whose links lie in the items. Links are addresses in the rank's range, which
 * is the same wherever the rank runs. */
#ifndef WEFT_MPI_LIST_H
#define WEFT_MPI_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct weft_mpi_link {
    struct weft_mpi_link *next, *prev; /* both NULL: in no list */
};

#define WEFT_MPI_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void weft__mpi_list_init(struct weft_mpi_link *list)
{
    list->next = list->prev = list;
}

static inline bool weft__mpi_list_empty(const struct weft_mpi_link *list)
{
    return list->next == list;
}

static inline void weft__mpi_list_append(struct weft_mpi_link *list, struct weft_mpi_link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

/* A link that is in no list stays there. */
static inline void weft__mpi_list_remove(struct weft_mpi_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

#endif
