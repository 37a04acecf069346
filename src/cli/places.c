/* The text is cut into words where it stands; the places point into it. */
#include "cli/places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "weft/error.h"

enum { FILE_MAX_BYTES = 1 << 20, RANKS_MAX = 65536 };

static int read_file(const char *path, char **text_out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return weft_fail(-errno, "cannot read the places in %s: %s", path, strerror(errno));
    char *text = calloc(1, FILE_MAX_BYTES + 1);
    size_t len = text != NULL ? fread(text, 1, FILE_MAX_BYTES + 1, file) : 0;
    int err = text == NULL ? WEFT_ENOMEM : WEFT_OK;
    if (err == WEFT_OK && ferror(file))
        err = weft_fail(WEFT_EIO, "cannot read the places in %s", path);
    else if (len > FILE_MAX_BYTES)
        err = weft_fail(WEFT_ERANGE, "%s is longer than 1 MiB", path);
    (void)fclose(file);
    if (err == WEFT_OK)
        *text_out = text;
    else
        free(text);
    return err;
}

static void blank_comments(char *text)
{
    for (char *at = strchr(text, '#'); at != NULL; at = strchr(at, '#'))
        while (*at != '\0' && *at != '\n')
            *at++ = ' ';
}

static int add(struct cli_places *places, char *word)
{
    uint64_t ranks = 1;
    char *colon = strrchr(word, ':');
    int err = colon != NULL ? weft__parse_u64(colon + 1, 1, RANKS_MAX, &ranks) : WEFT_OK;
    if (err != WEFT_OK || colon == word)
        return weft_fail(WEFT_EINVAL,
                         "'%s' is no place; HOST or HOST:N, with N from 1 to %d, is wanted", word,
                         RANKS_MAX);
    Weft__Host__Place **items =
        realloc(places->items, (places->n + 1) * sizeof(Weft__Host__Place *));
    if (items == NULL)
        return WEFT_ENOMEM;
    places->items = items;
    Weft__Host__Place *place = malloc(sizeof(*place));
    if (place == NULL)
        return WEFT_ENOMEM;
    if (colon != NULL)
        *colon = '\0';
    weft__host__place__init(place);
    place->host = word;
    place->ranks = (uint32_t)ranks;
    places->items[places->n++] = place;
    places->ranks += ranks;
    return places->ranks <= RANKS_MAX
               ? WEFT_OK
               : weft_fail(WEFT_ERANGE, "there are places for more than %d ranks", RANKS_MAX);
}

static void drop(struct cli_places *places)
{
    for (size_t i = 0; i < places->n; i++)
        free(places->items[i]);
    free(places->items);
    free(places->text);
}

int cli_places_read(const char *text, struct cli_places *places_out)
{
    struct cli_places places = {0};
    char *rest = NULL;
    int err = WEFT_OK;
    if (text[0] == '@')
        err = read_file(text + 1, &places.text);
    else
        places.text = strdup(text);
    if (err != WEFT_OK || places.text == NULL)
        return err != WEFT_OK ? err : WEFT_ENOMEM;
    if (text[0] == '@')
        blank_comments(places.text);
    for (char *word = strtok_r(places.text, ", \t\r\n", &rest); word != NULL && err == WEFT_OK;
         word = strtok_r(NULL, ", \t\r\n", &rest))
        err = add(&places, word);
    if (err == WEFT_OK && places.n == 0)
        err = weft_fail(WEFT_EINVAL, "'%s' has no places", text);
    if (err == WEFT_OK)
        *places_out = places;
    else
        drop(&places);
    return err;
}
