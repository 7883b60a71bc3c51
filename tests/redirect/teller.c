/* Stands in for a tree's programs: says how it was started. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    char text[4096];
    struct stat status;
    const char *what = getenv("TELL");
    printf("told");
    for (int i = 0; i < count; i++)
        printf(" %s", arguments[i]);
    if (what && what[0] == 'i' && fstat(0, &status) == 0)
        printf(" inode %lu", (unsigned long)status.st_ino);
    if (what && what[0] == 'c' && getcwd(text, sizeof text))
        printf(" in %s", text);
    if (what && what[0] == 's' && fgets(text, sizeof text, stdin))
        printf(" read %s", text);
    putchar('\n');
    return 0;
}
