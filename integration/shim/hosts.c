/* The lab's name service for everything that is not a JVM: preloaded, it gives the names of the
 * hosts file $LAB_HOSTS their addresses, and leaves everything else to the C library.
 *
 * nss_wrapper does the same and more, but its 1.1.12 (Debian 12) corrupts the heap when several
 * threads make a program's first look-ups at once, as a gateway with several backends does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int find(const char *name, char *address, size_t size)
{
    const char *path = getenv("LAB_HOSTS");
    FILE *file = path ? fopen(path, "re") : NULL;
    char line[1024];
    int found = 0;

    if (!file)
        return 0;
    while (!found && fgets(line, sizeof line, file)) {
        char *rest = NULL, *word = strtok_r(line, " \t\n", &rest);
        if (!word || *word == '#' || strlen(word) >= size)
            continue;
        strcpy(address, word);
        while (!found && (word = strtok_r(NULL, " \t\n", &rest)))
            found = strcasecmp(word, name) == 0;
    }
    fclose(file);
    return found;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    char address[64];
    int status;

    if (!real)
        return EAI_SYSTEM;
    if (!node || !find(node, address, sizeof address))
        return real(node, service, hints, result);
    status = real(address, service, hints, result);
    /* the address would be its own canonical name */
    if (status == 0 && hints && hints->ai_flags & AI_CANONNAME && *result) {
        char *name = strdup(node);
        if (name) {
            free((*result)->ai_canonname);
            (*result)->ai_canonname = name;
        }
    }
    return status;
}
