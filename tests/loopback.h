/* A loopback address of this process's own, for servers that come back on their port. Connections
 * go out from 127.0.0.1 wherever they lead to, so there any connection of the machine may get a
 * port between its being given back and its being taken again. */
#ifndef TEST_LOOPBACK_H
#define TEST_LOOPBACK_H

#include <stdio.h>
#include <unistd.h>

#define OWN_LOOPBACK_MAX 16u

static inline void own_loopback(char address_out[OWN_LOOPBACK_MAX])
{
    unsigned pid = (unsigned)getpid();
    snprintf(address_out, OWN_LOOPBACK_MAX, "127.%u.%u.9", 1 + pid % 253, 1 + pid / 253 % 253);
}

#endif
