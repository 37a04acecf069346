/* A spec and a scheme's name as text. Shares are kept in millionths, so that the dice are the same
 * on every machine. */
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "transport/fault/dice.h"
#include "transport/fault/fault.h"
#include "weft/error.h"

#define DELAY_MAX_MS 3600000u
#define SHARE_DIGITS 6

static int bad(const char *word, const char *wanted)
{
    return weft_fail(WEFT_EINVAL, "fault spec: '%s': expected %s", word, wanted);
}

/* "0.02", "2%", "1": in millionths. */
static int parse_share(const char *word, const char *text, uint32_t *share_out)
{
    uint64_t value = 0;
    unsigned digits = 0, behind = 0;
    bool point = false;
    size_t len = strlen(text);
    bool percent = len > 0 && text[len - 1] == '%';
    unsigned wanted = percent ? SHARE_DIGITS - 2 : SHARE_DIGITS;
    for (size_t i = 0; i < len - percent; i++) {
        if (text[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || ++digits > 9)
            return bad(word, "a share such as 0.02 or 2%");
        if (point && behind == wanted)
            continue;
        value = value * 10 + (uint64_t)(text[i] - '0');
        behind += point;
    }
    for (; behind < wanted; behind++)
        value *= 10;
    if (digits == 0 || value > WEFT_FAULT_ONE)
        return bad(word, "a share from 0 to 1, or to 100%");
    *share_out = (uint32_t)value;
    return WEFT_OK;
}

static int parse_delay(const char *word, char *text, struct weft_fault_plan *plan)
{
    size_t len = strlen(text);
    uint64_t unit = 1, number;
    if (len > 2 && strcmp(text + len - 2, "ms") == 0)
        unit = WEFT_NS_PER_MS;
    else if (len > 2 && strcmp(text + len - 2, "us") == 0)
        unit = WEFT_NS_PER_MS / 1000;
    plan->clock = unit > 1;
    if (plan->clock)
        text[len - 2] = '\0';
    if (weft__parse_u64(text, 0, DELAY_MAX_MS, &number) != WEFT_OK)
        return bad(word, "a time such as 5ms or 200us, or a number of calls");
    plan->delay = number * unit;
    return WEFT_OK;
}

static int parse_kinds(const char *word, char *text, struct weft_fault_plan *plan)
{
    static const struct {
        const char *name;
        enum weft_fault_kind kind;
    } all[] = {{"request", WEFT_FAULT_REQUEST},
               {"push", WEFT_FAULT_PUSH},
               {"reply", WEFT_FAULT_REPLY},
               {"message", WEFT_FAULT_MESSAGE},
               {"rma", WEFT_FAULT_RMA}};
    char *rest = text;
    plan->kinds = 0;
    for (const char *name; (name = strsep(&rest, "/"));) {
        uint32_t kinds = plan->kinds;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
            if (strcmp(all[i].name, name) == 0)
                kinds |= all[i].kind;
        if (kinds == plan->kinds)
            return bad(word, "request, push, reply, message or rma, with / between them");
        plan->kinds = kinds;
    }
    return WEFT_OK;
}

static int parse_way(const char *word, const char *text, struct weft_fault_plan *plan)
{
    bool out = strcmp(text, "out") == 0, in = strcmp(text, "in") == 0;
    if (!out && !in && strcmp(text, "both") != 0)
        return bad(word, "out, in or both");
    plan->way[WEFT_FAULT_OUT] = !in;
    plan->way[WEFT_FAULT_IN] = !out;
    return WEFT_OK;
}

static int parse_number(const char *word, const char *text, uint64_t *number_out)
{
    return weft__parse_u64(text, 0, UINT64_MAX, number_out) == WEFT_OK ? WEFT_OK
                                                                       : bad(word, "a number");
}

static int parse_word(const char *word, char *value, struct weft_fault_plan *plan)
{
    const struct {
        const char *name;
        uint32_t *share;
        uint64_t *number;
    } all[] = {
        {"seed", NULL, &plan->seed},   {"drop", &plan->drop, NULL},
        {"dup", &plan->dup, NULL},     {"late", &plan->late, NULL},
        {"cut", &plan->cut, NULL},     {"reorder", &plan->reorder, NULL},
        {"after", NULL, &plan->after}, {"for", NULL, &plan->count},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i].name, word) == 0)
            return all[i].share ? parse_share(word, value, all[i].share)
                                : parse_number(word, value, all[i].number);
    }
    if (strcmp(word, "delay") == 0)
        return parse_delay(word, value, plan);
    if (strcmp(word, "fail") == 0)
        return strpbrk(value, ".%") ? parse_share(word, value, &plan->fail)
                                    : parse_number(word, value, &plan->fail_nth);
    if (strcmp(word, "on") == 0)
        return parse_kinds(word, value, plan);
    if (strcmp(word, "way") == 0)
        return parse_way(word, value, plan);
    return bad(word, "seed, drop, dup, delay, late, reorder, cut, fail, on, way, after or for");
}

int weft__fault_plan(const char *spec, struct weft_fault_plan *plan_out)
{
    struct weft_fault_plan plan = {.seed = 1,
                                   .late = WEFT_FAULT_ONE,
                                   .way = {true, true},
                                   .kinds = WEFT_FAULT_KINDS,
                                   .count = UINT64_MAX};
    char text[WEFT_FAULT_SPEC_MAX];
    size_t len = spec ? strlen(spec) : 0;
    if (len >= sizeof(text))
        return weft_fail(WEFT_EINVAL, "a fault spec of %zu characters: at most %zu", len,
                         sizeof(text) - 1);
    if (len)
        memcpy(text, spec, len);
    text[len] = '\0';
    char *rest = len ? text : NULL;
    for (char *word; (word = strsep(&rest, ","));) {
        char *value = strchr(word, '=');
        if (!value)
            return bad(word, "NAME=VALUE");
        *value++ = '\0';
        int err = parse_word(word, value, &plan);
        if (err)
            return err;
    }
    *plan_out = plan;
    return WEFT_OK;
}

int weft__fault_scheme(const char *scheme, struct weft_fault_scheme *scheme_out)
{
    struct weft_fault_scheme result = {.inner = scheme};
    if (strncmp(scheme, "fault+", 6) == 0) {
        result.faulty = true;
        result.inner = scheme + 6;
    } else if (strncmp(scheme, "fault(", 6) == 0) {
        const char *end = strstr(scheme, ")+");
        size_t len = end ? (size_t)(end - scheme) - 6 : 0;
        if (!end || len >= sizeof(result.spec))
            return weft_fail(WEFT_EINVAL, "'%s': expected fault(SPEC)+TRANSPORT, SPEC at most %zu",
                             scheme, sizeof(result.spec) - 1);
        memcpy(result.spec, scheme + 6, len);
        result.faulty = true;
        result.inner = end + 2;
    }
    *scheme_out = result;
    return WEFT_OK;
}
