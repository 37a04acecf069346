/* The addresses of this machine, and which of them data may use.
 *
 * Order is the user's: the first word of WEFT_NET that fits decides, and of one word's addresses
 * the nearest interface comes first. Only addresses of the family that the host's own address has
 * are taken, because the others of the cluster reach the host by that. What is down is passed over
 * with its reason, as everything is that was looked at.
 */
#include "link/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/parse.h"
#include "link/nics.h"
#include "weft/error.h"

enum { WORDS = 16 };

/* A numeric address. */
struct number {
    int family; /* AF_INET, AF_INET6; 0: none */
    unsigned len;
    uint8_t bytes[16];
};

/* One word of the setting. */
struct word {
    char text[WEFT_NET_ADDRESS_MAX];
    struct number range; /* family 0: the word is an interface's name */
    unsigned bits;
};

static bool number_of(const char *text, struct number *number_out)
{
    struct number number = {.family = AF_INET, .len = 4};
    if (inet_pton(AF_INET, text, number.bytes) != 1) {
        number = (struct number){.family = AF_INET6, .len = 16};
        if (inet_pton(AF_INET6, text, number.bytes) != 1)
            return false;
    }
    *number_out = number;
    return true;
}

static bool number_at(const struct sockaddr *at, struct number *number_out)
{
    struct number number;
    if (at && at->sa_family == AF_INET) {
        number = (struct number){.family = AF_INET, .len = 4};
        memcpy(number.bytes, &((const struct sockaddr_in *)(const void *)at)->sin_addr, 4);
    } else if (at && at->sa_family == AF_INET6) {
        number = (struct number){.family = AF_INET6, .len = 16};
        memcpy(number.bytes, &((const struct sockaddr_in6 *)(const void *)at)->sin6_addr, 16);
    } else {
        return false;
    }
    *number_out = number;
    return true;
}

static bool is_inside(const struct number *range, unsigned bits, const struct number *number)
{
    if (range->family != number->family)
        return false;
    for (unsigned bit = 0; bit < bits; bit++) {
        unsigned mask = 0x80u >> (bit % 8);
        if ((range->bytes[bit / 8] ^ number->bytes[bit / 8]) & mask)
            return false;
    }
    return true;
}

static int parse_word(const char *text, size_t len, struct word *word)
{
    if (len == 0 || len >= sizeof(word->text))
        return weft_fail(WEFT_EINVAL, "WEFT_NET: \"%.*s\" is no interface and no range", (int)len,
                         text);
    *word = (struct word){.text = ""};
    memcpy(word->text, text, len);
    char *slash = strchr(word->text, '/');
    if (slash)
        *slash = '\0';
    bool numeric = number_of(word->text, &word->range);
    word->bits = 8 * word->range.len;
    if (!slash)
        return WEFT_OK;
    uint64_t bits = 0;
    int err = weft__parse_u64(slash + 1, 0, word->bits, &bits);
    *slash = '/';
    if (err != WEFT_OK || !numeric)
        return weft_fail(WEFT_EINVAL, "WEFT_NET: %s is no range of addresses like 10.0.0.0/8",
                         word->text);
    word->bits = (unsigned)bits;
    return WEFT_OK;
}

static bool fits(const struct word *word, const struct ifaddrs *at, const struct number *number)
{
    return word->range.family ? is_inside(&word->range, word->bits, number)
                              : strcmp(word->text, at->ifa_name) == 0;
}

static bool has(const struct weft__net *net, const char *address)
{
    for (unsigned i = 0; i < net->n; i++)
        if (strcmp(net->address[i], address) == 0)
            return true;
    return false;
}

/* Why an address that a word names cannot be used; NULL: it can. */
static const char *unfit(const struct ifaddrs *at, const struct number *number, int family)
{
    if (!(at->ifa_flags & IFF_UP) || !(at->ifa_flags & IFF_RUNNING))
        return "the interface is down";
    if (number->family != family)
        return "not of the family of the host's own address";
    if (family == AF_INET6 && number->bytes[0] == 0xfe && (number->bytes[1] & 0xc0) == 0x80)
        return "a link-local address";
    return NULL;
}

struct words {
    unsigned n;
    struct word word[WORDS];
};

static int parse_words(const char *setting, struct words *words)
{
    for (const char *at = setting;; at += strcspn(at, ",") + 1) {
        size_t len = strcspn(at, ",");
        if (words->n == WORDS)
            return weft_fail(WEFT_EINVAL, "WEFT_NET: more than %d words", WORDS);
        int err = parse_word(at, len, &words->word[words->n]);
        if (err != WEFT_OK)
            return err;
        words->n++;
        if (!at[len])
            return WEFT_OK;
    }
}

static void text_of(const struct number *number, char text_out[WEFT_NET_ADDRESS_MAX])
{
    (void)inet_ntop(number->family, number->bytes, text_out, WEFT_NET_ADDRESS_MAX);
}

static void take(const struct words *words, const struct ifaddrs *all, int family,
                 struct weft__net *net)
{
    for (unsigned w = 0; w < words->n; w++)
        for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
            struct number number;
            char text[WEFT_NET_ADDRESS_MAX];
            if (!number_at(at->ifa_addr, &number) || !fits(&words->word[w], at, &number) ||
                unfit(at, &number, family))
                continue;
            text_of(&number, text);
            if (net->n == WEFT_NET_ADDRESSES || has(net, text))
                continue;
            net->word[net->n] = w;
            memcpy(net->address[net->n++], text, sizeof(text));
        }
}

static void put_in_order(struct weft__net *net)
{
    struct weft__nic nics[WEFT_NET_ADDRESSES];
    struct weft__net as_found = *net;
    unsigned order[WEFT_NET_ADDRESSES];
    if (net->n < 2)
        return;
    for (unsigned i = 0; i < net->n; i++)
        weft__nic_find(net->address[i], &nics[i]);
    weft__nics_order(nics, as_found.word, net->n, order);
    for (unsigned i = 0; i < net->n; i++) {
        memcpy(net->address[i], as_found.address[order[i]], WEFT_NET_ADDRESS_MAX);
        net->word[i] = as_found.word[order[i]];
    }
}

/* Why an address was not taken. */
static const char *reason(const struct words *words, const struct ifaddrs *at,
                          const struct number *number, int family)
{
    for (unsigned w = 0; w < words->n; w++)
        if (fits(&words->word[w], at, number)) {
            const char *why = unfit(at, number, family);
            return why ? why : "one too many";
        }
    return "not among those of WEFT_NET";
}

/* Of those that no word names, only such as could have been meant. */
static bool is_noise(const struct words *words, const struct ifaddrs *at,
                     const struct number *number, int family)
{
    for (unsigned w = 0; w < words->n; w++)
        if (fits(&words->word[w], at, number) && words->word[w].range.family)
            return false;
    return number->family != family || at->ifa_flags & IFF_LOOPBACK;
}

static void tell(const struct words *words, const struct ifaddrs *all, int family, FILE *report,
                 const struct weft__net *net)
{
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        struct number number;
        char text[WEFT_NET_ADDRESS_MAX];
        if (!number_at(at->ifa_addr, &number) || is_noise(words, at, &number, family))
            continue;
        text_of(&number, text);
        if (!has(net, text))
            fprintf(report, "%s on %s: %s\n", text, at->ifa_name,
                    reason(words, at, &number, family));
    }
    for (unsigned w = 0; w < words->n; w++) {
        bool any = false;
        for (const struct ifaddrs *at = all; at && !any; at = at->ifa_next) {
            struct number number;
            any = number_at(at->ifa_addr, &number) && fits(&words->word[w], at, &number);
        }
        if (!any)
            fprintf(report, "%s: this machine has no such address (WEFT_NET)\n",
                    words->word[w].text);
    }
}

int weft__net_choose(const char *setting, const char *bind, FILE *report, struct weft__net *net_out)
{
    struct weft__net net = {.n = 0};
    struct words words = {.n = 0};
    struct number own;
    struct ifaddrs *all;
    if (!setting[0] || !bind || !number_of(bind, &own)) {
        *net_out = (struct weft__net){.n = 1};
        snprintf(net_out->address[0], sizeof(net_out->address[0]), "%s", bind ? bind : "");
        return WEFT_OK;
    }
    int err = parse_words(setting, &words);
    if (err != WEFT_OK)
        return err;
    if (getifaddrs(&all) != 0)
        return weft_fail(WEFT_EADDRNOTAVAIL, "cannot list the addresses of this machine");
    take(&words, all, own.family, &net);
    put_in_order(&net);
    if (report)
        tell(&words, all, own.family, report, &net);
    freeifaddrs(all);
    if (net.n == 0)
        return weft_fail(WEFT_EADDRNOTAVAIL,
                         "WEFT_NET=%s: no address of this machine that is up fits; ip -brief "
                         "address lists them",
                         setting);
    *net_out = net;
    return WEFT_OK;
}

bool weft__net_is_at(const struct ifaddrs *at, const char *address)
{
    struct number wanted, number;
    return number_of(address, &wanted) && number_at(at->ifa_addr, &number) &&
           is_inside(&wanted, 8 * wanted.len, &number);
}

bool weft__net_is_ours(const char *address)
{
    struct number wanted;
    struct ifaddrs *all;
    bool found = false;
    if (!number_of(address, &wanted) || getifaddrs(&all) != 0)
        return false;
    /* All of 127.0.0.0/8 is every machine's. */
    if (wanted.family == AF_INET && wanted.bytes[0] == 127)
        found = true;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next)
        found = weft__net_is_at(at, address);
    freeifaddrs(all);
    return found;
}

uint64_t weft__net_machine(void)
{
    struct {
        char boot[64];
        uint64_t device, inode;
    } what = {.boot = ""};
    struct stat about;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, what.boot, sizeof(what.boot) - 1);
        (void)n; /* without it the namespace has to do */
        close(fd);
    }
    if (stat("/proc/self/ns/net", &about) == 0) {
        what.device = (uint64_t)about.st_dev;
        what.inode = (uint64_t)about.st_ino;
    }
    uint64_t machine = XXH3_64bits(&what, sizeof(what));
    return machine ? machine : 1;
}
