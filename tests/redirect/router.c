/* Prints where the library sends each path that is given on stdin in hexadecimal: whether it concerns the
 * library, its area, the steps of a reader, and its normal form. */
#include "../../src/redirect/redirect.h"
#include <stdio.h>
#include <stdlib.h>

int cape_openat(int directory, const char *path, int flags, mode_t mode) /* open.c's, which is left out */
{
    (void)directory, (void)path, (void)flags, (void)mode;
    return -1;
}

static void set(struct cape_prefix *prefix, const char *text)
{
    strcpy(prefix->text, text);
    prefix->length = strlen(text);
}

int main(void)
{
    static char line[50000], path[25000];
    struct cape_route *route = malloc(sizeof *route);
    set(&cape_places.root, "/w/e/root");
    set(&cape_places.environment, "/w/e");
    set(&cape_places.overlay, "/w/state/overlay");
    cape_places.mode = CAPE_ON;
    while (fgets(line, sizeof line, stdin)) {
        size_t length = 0;
        for (unsigned letter; sscanf(line + 2 * length, "%2x", &letter) == 1; length++)
            path[length] = (char)letter;
        path[length] = '\0';
        char *exact = strdup(path);
        cape_route(route, exact, FOR_READING);
        printf("%d %d ", cape_concerns(exact), route->area);
        for (int i = 0; i < route->count; i++)
            printf("%d", route->steps[i]);
        putchar(' ');
        for (const char *each = route->tail ? route->tail - 1 : ""; *each; each++)
            printf("%02x", (unsigned char)*each);
        putchar('\n');
        free(exact);
    }
    free(route);
    return 0;
}
