/* The process's keys, and who may come in.
 *
 * The lists are looked at whenever a connection is made, and read again when their file has
 * changed: a stat per connection is cheap beside its handshake. The lock is there because every
 * server and client of the process asks on its own thread. A list that cannot be read, or that
 * others may write, lets nobody in: no list at all means the own key.
 */
#include "control/security.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/check.h"
#include "base/config.h"
#include "base/log.h"
#include "control/lock.h"
#include "weft/error.h"

struct weft_security {
    struct weft_tp_security tp;
    struct weft_lock lock; /* the lists */
    struct weft_key_file allowed, hosts;
    bool complained[2]; /* about a list that cannot be read */
    char folder[4096 - 64];
};

const struct weft_tp_security weft__security_none = {.allow = NULL};

static struct weft_security *ours; /* of the settings, under ours_lock */
static bool ours_read;
static pthread_mutex_t ours_lock = PTHREAD_MUTEX_INITIALIZER;

/* Once per list that goes bad, not per connection. */
static void complain(bool *complained, int err, const char *so)
{
    if (err != WEFT_OK && !*complained)
        weft__error("%s: %s", so, weft_fail_text(err));
    *complained = err != WEFT_OK;
}

static bool is_listed(struct weft_security *security, const uint8_t key[WEFT_TP_KEY_BYTES])
{
    const struct weft_key_file *list = &security->allowed;
    int err = weft__key_file_refresh(&security->allowed, security->folder, "allowed");
    bool found = false;
    complain(&security->complained[0], err, "nobody is let in");
    if (err != WEFT_OK)
        return false;
    if (!list->found)
        return sodium_memcmp(security->tp.public_key, key, WEFT_TP_KEY_BYTES) == 0;
    for (size_t i = 0; i < list->n; i++)
        found |= sodium_memcmp(list->lines[i].key.bytes, key, WEFT_TP_KEY_BYTES) == 0;
    return found;
}

static bool allow(void *ctx, const uint8_t client_key[WEFT_TP_KEY_BYTES])
{
    struct weft_security *security = ctx;
    weft__lock_take(&security->lock);
    bool allowed = is_listed(security, client_key);
    weft__lock_drop(&security->lock);
    return allowed;
}

/* "tcp://[::1]:8100" -> "::1", as inet_ntop prints it. */
static void address_of(const char *url, char address_out[46])
{
    char text[64] = "";
    unsigned char raw[sizeof(struct in6_addr)];
    const char *from = strncmp(url, "tcp://", 6) == 0 ? url + 6 : url;
    const char *end = strrchr(from, ':');
    size_t len = end != NULL ? (size_t)(end - from) : strlen(from);
    if (len > 2 && from[0] == '[') {
        from++;
        len -= 2;
    }
    address_out[0] = '\0';
    if (len >= sizeof(text))
        return;
    memcpy(text, from, len);
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, raw) == 1)
        (void)inet_ntop(family, raw, address_out, 46);
}

static void server_key(void *ctx, const char *url, uint8_t key_out[WEFT_TP_KEY_BYTES])
{
    struct weft_security *security = ctx;
    char address[46];
    address_of(url, address);
    memcpy(key_out, security->tp.public_key, WEFT_TP_KEY_BYTES);
    weft__lock_take(&security->lock);
    int err = weft__key_file_refresh(&security->hosts, security->folder, "hosts");
    complain(&security->complained[1], err, "all hosts count as having our own key");
    for (size_t i = 0; i < security->hosts.n; i++) {
        if (strcmp(security->hosts.lines[i].address, address) == 0)
            memcpy(key_out, security->hosts.lines[i].key.bytes, WEFT_TP_KEY_BYTES);
    }
    weft__lock_drop(&security->lock);
}

int weft__security_open(const char *folder, struct weft_security **security_out)
{
    struct weft_security *security = calloc(1, sizeof(*security));
    struct weft_key public_key, secret_key;
    if (security == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for keys");
    int err = strlen(folder) < sizeof(security->folder)
                  ? weft__keys_read(folder, &public_key, &secret_key)
                  : weft_fail(WEFT_EINVAL, "the path of the folder of keys is too long");
    if (err != WEFT_OK) {
        free(security);
        return err;
    }
    strcpy(security->folder, folder);
    weft__lock_init(&security->lock);
    security->tp =
        (struct weft_tp_security){.allow = allow, .server_key = server_key, .ctx = security};
    memcpy(security->tp.public_key, public_key.bytes, WEFT_TP_KEY_BYTES);
    memcpy(security->tp.secret_key, secret_key.bytes, WEFT_TP_KEY_BYTES);
    sodium_memzero(&secret_key, sizeof(secret_key));
    *security_out = security;
    return WEFT_OK;
}

void weft__security_close(struct weft_security *security)
{
    if (security == NULL)
        return;
    weft__key_file_fini(&security->allowed);
    weft__key_file_fini(&security->hosts);
    weft__lock_fini(&security->lock);
    sodium_memzero(security, sizeof(*security));
    free(security);
}

const struct weft_tp_security *weft__security_tp(const struct weft_security *security)
{
    return &security->tp;
}

static const char *home_folder(void)
{
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/')
        return home;
    const struct passwd *user = getpwuid(geteuid());
    return user != NULL ? user->pw_dir : NULL;
}

int weft__security_folder(char *path_out, size_t len_bytes)
{
    const char *text = weft__config_text("WEFT_KEYS");
    const char *home = home_folder();
    int n;
    if (text[0] == '/')
        n = snprintf(path_out, len_bytes, "%s", text);
    else if (text[0] != '\0')
        return weft_fail(WEFT_EINVAL,
                         "WEFT_KEYS is %s: it must be an absolute path, because processes change "
                         "their folder",
                         text);
    else if (home != NULL)
        n = snprintf(path_out, len_bytes, "%s/.config/weft", home);
    else
        return weft_fail(WEFT_ENOENT, "you have no home folder: set WEFT_KEYS");
    if (n < 0 || (size_t)n >= len_bytes)
        return weft_fail(WEFT_EINVAL, "the path of the folder of keys is too long");
    return WEFT_OK;
}

static int read_ours(void)
{
    char folder[4096 - 64];
    if (strcmp(weft__config_text("WEFT_SECURITY"), "curve") != 0)
        return WEFT_OK;
    int err = weft__security_folder(folder, sizeof(folder));
    return err == WEFT_OK ? weft__security_open(folder, &ours) : err;
}

int weft__security_get(const struct weft_tp_security **security_out)
{
    pthread_mutex_lock(&ours_lock);
    int err = ours_read ? WEFT_OK : read_ours();
    ours_read = err == WEFT_OK;
    if (err == WEFT_OK)
        *security_out = ours != NULL ? &ours->tp : NULL;
    pthread_mutex_unlock(&ours_lock);
    return err;
}

int weft__security_prepare(void)
{
    pthread_mutex_lock(&ours_lock);
    int err = weft__config_is_loaded() ? WEFT_OK : weft__config_load();
    pthread_mutex_unlock(&ours_lock);
    return err;
}

bool weft__security_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int weft__security_check_bind(const char *address, const struct weft_tp_security *security)
{
    unsigned char raw[sizeof(struct in6_addr)];
    bool numeric = inet_pton(AF_INET, address, raw) == 1 || inet_pton(AF_INET6, address, raw) == 1;
    if (security != NULL || !numeric || weft__security_is_loopback(address) ||
        strcmp(weft__config_source("WEFT_SECURITY"), "default") != 0)
        return WEFT_OK;
    return weft_fail(WEFT_EPERM,
                     "other machines reach %s, and whoever reaches it could run programs as you: "
                     "make keys (weft keygen) and set WEFT_SECURITY=curve on all hosts, or, where "
                     "only people whom you trust reach it, set WEFT_SECURITY=none",
                     address);
}

int weft__security_resolve(const struct weft_tp_security *wanted,
                           const struct weft_tp_security **security_out)
{
    if (wanted == NULL)
        return weft__security_get(security_out);
    *security_out = wanted == &weft__security_none ? NULL : wanted;
    return WEFT_OK;
}

void weft__security_forget(void)
{
    pthread_mutex_lock(&ours_lock);
    weft__security_close(ours);
    ours = NULL;
    ours_read = false;
    pthread_mutex_unlock(&ours_lock);
}

void weft__security_facts(struct weft_security_facts *facts_out)
{
    struct weft_key key;
    pthread_mutex_lock(&ours_lock);
    *facts_out = (struct weft_security_facts){.curve = ours != NULL, .folder = ""};
    if (ours != NULL) {
        memcpy(key.bytes, ours->tp.public_key, sizeof(key.bytes));
        weft__key_print(&key, facts_out->key);
        facts_out->folder = ours->folder;
        weft__lock_take(&ours->lock);
        if (weft__key_file_refresh(&ours->allowed, ours->folder, "allowed") == WEFT_OK)
            facts_out->allowed = ours->allowed.found ? ours->allowed.n : 1;
        weft__lock_drop(&ours->lock);
    }
    pthread_mutex_unlock(&ours_lock);
}
